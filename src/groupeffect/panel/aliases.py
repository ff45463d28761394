"""Chinese headers of a bureau's exports, and suggestions for a column that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from groupeffect.panel.panel import Drop

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HEADER_ALIASES", "VALUE_ALIASES", "aliases_of", "header_map", "resolve_headers", "suggestions"]

HEADER_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "学校代码": "school_id",
        "学校标识码": "school_id",
        "学年": "year",
        "区县": "county_id",
        "区县代码": "county_id",
        "市州": "prefecture_id",
        "城乡类型": "location",
        "学段": "stage",
        "办学性质": "ownership",
        "在校生数": "enrol",
        "招生数": "enrol_entry",
        "班级数": "classes",
        "专任教师数": "teachers_fte",
        "县级以上骨干教师数": "backbone_own",
        "派出骨干教师数": "backbone_sent",
        "派入骨干教师数": "backbone_recv",
        "派出教师数": "teachers_sent",
        "派入教师数": "teachers_recv",
        "集团代码": "group_id",
        "集团角色": "role",
        "办学模式": "model",
        "加入学年": "join_year",
        "退出学年": "exit_year",
        "认定薄弱学校学年": "designated_weak_year",
        "新建校": "new_school",
        "经度": "lon",
        "纬度": "lat",
        "民族地区": "minority_area",
        "寄宿制学校": "boarding",
        "教学点": "teaching_point",
        "高于规定学历教师数": "teachers_above_degree",
        "体育艺术专任教师数": "teachers_pe_art",
        "高级职称教师数": "teachers_senior",
        "派出管理人员数": "managers_sent",
        "派入管理人员数": "managers_recv",
        "骨干教师派出比例": "export_share",
        "骨干教师派入比例": "dose_recv",
        "教学及辅助用房面积": "floor_m2",
        "体育运动场馆面积": "sports_m2",
        "教学仪器设备值": "equip_yuan",
        "网络多媒体教室数": "media_rooms",
        "困难学生比例": "disadv_share",
        "随迁子女比例": "migrant_share",
        "留守儿童比例": "left_behind_share",
        "入学成绩": "prior_mean",
        "辍学率": "dropout",
        "巩固率": "retention",
        "体质健康合格率": "fitness_pass",
        "交流轮岗补贴": "subsidy_rotation",
        "满意度问卷数": "satis_n",
        "满意度问卷回收率": "satis_resp",
        "认定依据学年": "designation_window",
        "核心校补偿": "compensated",
        "到核心校时间": "travel_min_core",
        "组织机制": "mech_org",
        "沟通机制": "mech_comm",
        "激励机制": "mech_inc",
        "共享机制": "mech_share",
        "退出机制": "mech_exit",
        "机制测量学年": "mech_year",
        "实施保真度": "fidelity",
        "联合教研次数": "joint_lessons",
        "网络课堂时数": "online_hours",
        "同期改革": "co_reforms",
        "考试代码": "exam_id",
        "增值": "va_mean",
        "增值标准误": "va_se",
        "科目": "subject",
        "年级": "grade",
        "考试主体": "exam_authority",
        "平均分": "mean",
        "标准差": "sd",
        "参考人数": "n_tested",
        "应考人数": "n_enrolled",
        "满分": "full_mark",
        "优秀率": "rate_excellent",
        "及格率": "rate_pass",
        "低分率": "rate_low",
        "专项经费预算": "fund_planned",
        "专项经费决算": "fund_spent",
        "家长满意度": "satis_parent",
        "教师满意度": "satis_teacher",
        "原学校代码": "old_id",
        "新学校代码": "new_id",
        "变动类型": "event",
    }
)
"""Chinese header -> column name of the schema."""

VALUE_ALIASES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "location": {"城区": "urban", "城镇": "town", "镇区": "town", "乡村": "rural", "农村": "rural"},
        "stage": {
            "小学": "primary",
            "初中": "junior",
            "九年一贯制": "nine_year",
            "九年一贯制学校": "nine_year",
            "完全中学": "complete",
        },
        "ownership": {"公办": "public", "民办": "private"},
        "role": {
            "核心校": "core",
            "龙头校": "core",
            "牵头校": "core",
            "双核心校": "co_core",
            "成员校": "member",
            "无": "none",
        },
        "model": {
            "紧密型": "intensive",
            "松散型": "loose",
            "混合型": "composite",
            "复合型": "composite",
            "委托管理": "entrusted",
            "托管": "entrusted",
        },
        "event": {"合并": "merge", "拆分": "split", "更名": "rename", "撤销": "close", "新设": "open"},
        "subject": {"语文": "chinese", "数学": "math", "英语": "english"},
    }
)
"""Column -> Chinese value -> value of the schema."""


def aliases_of(name: str) -> tuple[str, ...]:
    """Chinese headers that stand for a column name."""
    return tuple(alias for alias, target in HEADER_ALIASES.items() if target == name)


def header_map(available: Iterable[object], wanted: Iterable[str]) -> dict[object, str]:
    """Headers to rename so that the wanted columns are found.

    A wanted column that is there under its own name is left alone. Otherwise a header that differs only by white space
    around it, or the Chinese alias of the column, takes its place, if exactly one such header exists.

    Parameters
    ----------
    available : iterable
        Headers of the table.
    wanted : iterable of str
        Column names asked for.

    Returns
    -------
    dict
        Header found -> column name asked for; empty if there is nothing to rename.
    """
    headers = list(available)
    present = set(headers)
    renames: dict[object, str] = {}
    for name in wanted:
        if name in present:
            continue
        accepted = {name, *aliases_of(name)}
        found = [head for head in headers if isinstance(head, str) and head.strip().strip("\ufeff") in accepted]
        if len(found) == 1 and found[0] not in renames:
            renames[found[0]] = name
    return renames


def rename_notes(renames: Mapping[object, str], step: str) -> tuple[Drop, ...]:
    """History entry for renamed headers; empty if none was renamed."""
    if not renames:
        return ()
    pairs = ", ".join(f"{old!s} as {new}" for old, new in renames.items())
    return (Drop(step, f"headers read under another name: {pairs}"),)


def resolve_headers(frame: pd.DataFrame, wanted: Iterable[str]) -> tuple[pd.DataFrame, tuple[Drop, ...]]:
    """Table in which missing columns were found under their Chinese header.

    Parameters
    ----------
    frame : DataFrame
        Any table; its data are not copied.
    wanted : iterable of str
        Column names asked for, for example ``columns.required``.

    Returns
    -------
    frame : DataFrame
        The same table, with headers renamed where an alias was used.
    history : tuple of Drop
        One entry that names the renamed headers; empty if there were none.
    """
    renames = header_map(frame.columns, wanted)
    if not renames:
        return frame, ()
    return frame.rename(columns=renames), rename_notes(renames, "resolve_headers")


def suggestions(name: str, available: Iterable[object]) -> tuple[str, ...]:
    """Headers of the table that may be meant by a name that is not there (at most three)."""
    headers = [str(head) for head in available]
    lowered = {head.strip().lower(): head for head in headers}
    close = get_close_matches(name.lower(), list(lowered), n=3, cutoff=0.6)
    same_meaning = [head for head in headers if HEADER_ALIASES.get(head.strip()) == name]
    target = HEADER_ALIASES.get(name.strip())
    if target is not None and target in headers:
        same_meaning.append(target)
    return tuple(dict.fromkeys([*same_meaning, *(lowered[key] for key in close)]))[:3]
