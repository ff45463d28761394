"""What every column of the written files means."""

from __future__ import annotations

from typing import Final

import pandas as pd

from groupeffect.panel.aliases import aliases_of

__all__ = ["codebook_frame", "header_names"]

_SCHOOLS: Final = """
school_id|str||stable id; older ids lead here through crosswalk.csv|学校代码
year|int|school year|start year of the school year, 2016 to 2025 by default|学年
county_id|str||fixed per school|区县
prefecture_id|str||fixed per county|市州
location|str||urban, town, rural|城乡类型
stage|str||primary, junior, nine_year|学段
ownership|str||public|办学性质
lon|float|degree|longitude|经度
lat|float|degree|latitude|纬度
minority_area|bool||true, false|民族地区
boarding|bool||true, false|寄宿制学校
new_school|bool||true: built as a member, no row before it opened|新建校
teaching_point|bool||true: rural, under 60 pupils in the first year; not in official CVs if under 50|教学点
teachers_fte|float|FTE|> 0, fixed over the years|专任教师数
teachers_above_degree|float|FTE|<= teachers_fte|高于规定学历教师数
teachers_pe_art|float|FTE|<= teachers_fte|体育艺术专任教师数
teachers_senior|float|FTE|<= teachers_fte|高级职称教师数
backbone_own|float|FTE|county level and above, on the payroll|县级以上骨干教师数
floor_m2|float|m2|teaching and auxiliary floor area|教学及辅助用房面积
sports_m2|float|m2|sports area|体育运动场馆面积
equip_yuan|float|yuan|value of teaching equipment|教学仪器设备值
media_rooms|float|rooms|networked multimedia classrooms|网络多媒体教室数
enrol|int|pupils|> 0|在校生数
enrol_entry|int|pupils|> 0, entry grade|招生数
classes|int|classes|> 0|班级数
disadv_share|float|share|0 to 1|困难学生比例
migrant_share|float|share|0 to 1|随迁子女比例
left_behind_share|float|share|0 to 1|留守儿童比例
prior_mean|float|SD|attainment of the intake|入学成绩
dropout|float|share|0 to 1|辍学率
retention|float|share|0 to 1|巩固率
fitness_pass|float|share|0 to 1|体质健康合格率
backbone_sent|float|FTE|sum over the group and year equals backbone_recv; <= backbone_own|派出骨干教师数
backbone_recv|float|FTE|backbone teachers received from the core school|派入骨干教师数
teachers_sent|float|FTE|all teachers sent; sum equals teachers_recv|派出教师数
teachers_recv|float|FTE|all teachers received|派入教师数
managers_sent|float|FTE|sum equals managers_recv|派出管理人员数
managers_recv|float|FTE|managers received|派入管理人员数
export_share|float|share|backbone_sent / backbone_own|骨干教师派出比例
dose_recv|float|share|backbone_recv / teachers_fte|骨干教师派入比例
subsidy_rotation|float|yuan per year|paid for rotation|交流轮岗补贴
group_id|str||empty outside a group; membership.csv is the register of record|集团代码
model|str||intensive, composite, loose; empty outside a group|办学模式
role|str||core, member, none in that year|集团角色
fund_planned|float|yuan per year|planned special funds|专项经费预算
fund_spent|float|yuan per year|realised special funds|专项经费决算
satis_parent|float|points|0 to 100|家长满意度
satis_teacher|float|points|0 to 100|教师满意度
satis_n|int|answers|> 0|满意度问卷数
satis_resp|float|share|0 to 1|满意度问卷回收率
join_year|int|school year|first year in a group; empty = never; the same in all years|加入学年
exit_year|int|school year|first year out of the group; empty = stays|退出学年
designated_weak_year|int|school year|last year whose exams made the school a weak one; empty = not weak|认定薄弱学校学年
designation_window|str||first and last school year whose exams decided who is weak|认定依据学年
compensated|bool||true: core school paid for sending teachers|核心校补偿
travel_min_core|float|minutes|to the core school; empty outside groups|到核心校时间
mech_org|float|index|0 to 1, organisation, as answered in mech_year|组织机制
mech_comm|float|index|0 to 1, communication|沟通机制
mech_inc|float|index|0 to 1, incentives|激励机制
mech_share|float|index|0 to 1, sharing|共享机制
mech_exit|float|index|0 to 1, exit rules|退出机制
fidelity|float|index|0 to 1, how far the group is more than a name|实施保真度
joint_lessons|float|per year|>= 0|联合教研次数
online_hours|float|hours per year|>= 0|网络课堂时数
mech_year|int|school year|when the mechanism indices were measured|机制测量学年
co_reforms|str||other reforms in force, separated by a semicolon; empty = none|同期改革
"""

_SCORES: Final = """
school_id|str||as in schools.csv|学校代码
year|int|school year|the exam is sat in June of the following year|学年
subject|str||chinese, math, english|科目
grade|str||6 (primary sections), 9 (junior sections)|年级
exam_id|str||one paper|考试代码
exam_authority|str||province or a county id; compare marks only within subject x grade x year x authority|考试主体
mean|float|marks|0 to full_mark; empty = no result; reference: schools never in a group, never weak|平均分
sd|float|marks|within-school SD of the pupils tested; total SD^2 = weighted mean sd^2 + variance of means|标准差
n_tested|int|pupils|<= n_enrolled|参考人数
n_enrolled|int|pupils|> 0|应考人数
full_mark|float|marks|100, from 2024 on 120|满分
rate_pass|float|share|at least 60 % of the full mark|及格率
rate_excellent|float|share|at least 85 % of the full mark|优秀率
rate_low|float|share|under 40 % of the full mark|低分率
va_mean|float|SD|value added: score less what intake attainment and disadvantage explain|增值
va_se|float|SD|standard error of va_mean|增值标准误
"""

_MEMBERSHIP: Final = """
school_id|str||the id in the joining year|学校代码
group_id|str||school group|集团代码
role|str||core, member; one core school per group|集团角色
model|str||intensive, composite, loose|办学模式
join_year|int|school year|first year in the group|加入学年
exit_year|int|school year|first year out of it; empty = stays|退出学年
compensated|bool||true: core school paid for sending teachers|核心校补偿
"""

_CROSSWALK: Final = """
old_id|str||id in files before `year`|原学校代码
new_id|str||id from `year` on|新学校代码
year|int|school year|first school year under the new id|学年
event|str||merge, rename|变动类型
"""

_FILES: Final = {
    "schools.csv": _SCHOOLS,
    "scores.csv": _SCORES,
    "membership.csv": _MEMBERSHIP,
    "crosswalk.csv": _CROSSWALK,
}


def codebook_frame() -> pd.DataFrame:
    """Codebook: ``file, column, type, unit, allowed, name_zh``, one row per column of each file.

    `name_zh` is the header in files written with Chinese headers if the reader knows it as an alias of the column.
    """
    rows = [(file, *line.split("|")) for file, text in _FILES.items() for line in text.strip().splitlines()]
    return pd.DataFrame(rows, columns=["file", "column", "type", "unit", "allowed", "name_zh"])


def header_names(columns: pd.Index) -> dict[str, str]:
    """Chinese header of every column that has one which the reader knows."""
    return {str(name): aliases_of(str(name))[0] for name in columns if aliases_of(str(name))}
