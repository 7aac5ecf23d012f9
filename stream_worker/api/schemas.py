"""What the API answers: every shape, with what each field means. OpenAPI is made from it.

Rules:
1. Times are RFC 3339 in UTC. Ranges are half-open: `to` and `final_to` are not inside.
2. Sentiment is -1 … 1, shares are 0 … 1; null where there is nothing to divide by.
3. Every answer says how fresh it is: `as_of`, `final`, `revision`, `coverage`, `model`.
"""

from typing import Annotated, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from stream_worker.core.sentiment.estimate import Holds
from stream_worker.core.time import rfc3339

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Window = Literal["5m", "15m", "1h", "24h"]
State = Literal["spike", "low", "data", "copies", "good", "usual", "few", "none"]
MinuteState = Literal["filling", "provisional", "final", "corrected"]
AlertState = Literal["open", "escalated", "resolved", "expired", "withdrawn", "missed"]
Progress = Literal["reading", "idle", "silent", "unknown"]


class Answer(BaseModel):
    """What every answer says of itself."""

    model_config = ConfigDict(protected_namespaces=())

    as_of: Time = Field(description="When Redis was read, or the view in it was drawn; by Redis TIME.")
    final: bool = Field(description="Whether no number in it will change, but for late mentions.")
    revision: str = Field(
        description="Id of the newest change that is in it; hand it to /live as Last-Event-ID to go on."
    )
    coverage: float | None = Field(description="Scored / received.")
    model: str | None = Field(description="The model that scored the newest minute; several with commas.")


class Nets(BaseModel):
    """Net sentiment as it truly is, as far as that can be known: null when nothing is scored."""

    net_estimate: float | None = Field(
        description="(Truly positive - truly negative) / scored, as estimated from the labels and from what "
        "the model is known to mistake; where that is not known, the mean of what it said."
    )
    net_low: float | None = Field(description="95 % interval of net_estimate.")
    net_high: float | None
    net_margin: float | None = Field(description="Half the width of that interval.")
    interval_holds: Holds | None = Field(
        description="`sampling`: other or several models scored it, or errors of this one are not known."
    )


class NetFields(TypedDict):
    """The fields of `Nets`, to unpack into it and into what inherits from it."""

    net_estimate: float | None
    net_low: float | None
    net_high: float | None
    net_margin: float | None
    interval_holds: Holds | None


class Numbers(Nets):
    """The counts of a brand over some minutes, on-time and late together."""

    mentions: int
    negative: int
    neutral: int
    positive: int
    uncertain: int = Field(description="The model was not sure. Not neutral.")
    unscored: int = Field(description="The model failed or does not cover it. Not neutral.")
    copies: int = Field(description="Repeats: the same text about the same brand again.")
    voices: int = Field(description="Mentions that are no copy and among the first three of their author.")
    negative_voices: int
    negative_share: float | None = Field(description="Negative / scored.")
    net: float | None = Field(description="Sum of sentiment / scored: the mean of what the model said.")


class NumberFields(NetFields):
    """The fields of `Numbers`, to unpack into what inherits from it."""

    mentions: int
    negative: int
    neutral: int
    positive: int
    uncertain: int
    unscored: int
    copies: int
    voices: int
    negative_voices: int
    negative_share: float | None
    net: float | None


class Usual(BaseModel):
    """What is usual for the brand: its own windows of this length, one every five minutes, over 48 hours."""

    windows: int = Field(description="How many windows it rests on; those in an episode are left out.")
    mentions: float = Field(description="Median.")
    copies_share: float
    negative_share: float | None = Field(description="Median.")
    net: float | None = Field(description="Median, of net_estimate.")
    net_low: float | None = Field(description="5 % of the windows lie below …")
    net_high: float | None = Field(description="… and 5 % above.")


class Strip(BaseModel):
    """Minutes in a row, one number each: for a sparkline."""

    start: Time = Field(description="Start of the first minute.")
    mentions: list[int]
    negative: list[int]


class Brand(Answer, Numbers):
    """A brand over one window, which ends with the newest minute, that one included."""

    brand: str
    window: Window
    window_from: Time
    window_to: Time
    final_to: Time = Field(description="Minutes before it are final for this brand.")
    state: State = Field(
        description="spike: an alert is open; low, good: the whole interval lies below, above what is usual; "
        "data: coverage below 98 %; copies: at least half are copies; few: margin over 0.3; none: no mention."
    )
    since: Time | None = Field(description="Start of the minute that the open episode began in.")
    alert: str | None = Field(description="Id of the open alert.")
    usual: Usual | None = Field(description="Null until twelve windows are known.")
    last_hour: Strip | None = Field(description="In changes of the live feed only its newest minutes.")


class MinuteCell(BaseModel):
    """A minute over all brands."""

    model_config = ConfigDict(protected_namespaces=())

    start: Time
    state: MinuteState
    mentions: int
    late: int = Field(description="Of these, came after it was sealed.")
    complete: bool = Field(description="Whether every partition took part.")
    model: str | None
    final_after_s: float | None = Field(description="Seconds from its end to its seal.")


class Freshness(Answer):
    """How far the numbers are, over all brands."""

    newest: Time | None = Field(description="Start of the newest minute with a mention.")
    visible_to: Time | None = Field(
        description="Event time of the newest mention that is in, of any partition."
    )
    behind_s: float | None = Field(description="as_of less visible_to.")
    sealed_to: Time | None
    final_to: Time | None = Field(description="Minutes before it are final for all brands.")
    minutes: list[MinuteCell] = Field(description="The last eight.")


class Brands(Answer):
    """All brands, the most unusual first."""

    window: Window
    total: int = Field(description="Brands there are, shown or not.")
    freshness: Freshness
    brands: list[Brand]


class Network(Numbers):
    """A network's part of a brand."""

    network: str


class BrandDetail(Answer):
    """One brand, with its networks."""

    brand: Brand
    share_of_all: float | None = Field(description="Its mentions / those of all brands, in the window.")
    networks: list[Network] | None = Field(description="Null for a window longer than an hour.")
    freshness: Freshness


class Minute(Numbers):
    """One minute of a brand."""

    model_config = ConfigDict(protected_namespaces=())

    start: Time
    state: MinuteState
    final: bool
    revision: int | None = Field(
        description="Late mentions that corrected it so far; null when it is older than two hours."
    )
    complete: bool | None = Field(description="Null when it is older than two hours.")
    coverage: float | None
    model: str | None = Field(description="Several with commas: such a minute is shown and not judged.")
    last_five: Nets | None = Field(
        description="Over the five minutes that end with it; null while one of them is missing or filling."
    )


class ModelSince(BaseModel):
    """From which minute on which models scored."""

    since: Time
    models: list[str]
    judged: bool = Field(
        description="False: several models scored these minutes, so nobody is alerted by them."
    )


class Minutes(Answer):
    """A brand minute by minute, oldest first; a minute that Redis does not hold is left out."""

    brand: str
    span: str
    since: Time
    until: Time
    final_to: Time
    models: list[ModelSince] = Field(
        description="Who scored as the span began, then every change within it; of sealed minutes."
    )
    minutes: list[Minute]


class Alert(Answer):
    """An episode of a brand and what was told of it."""

    id: str = Field(description="The episode; a message's id is accepted as well.")
    brand: str
    state: AlertState
    opened: Time
    ended: Time | None
    peak_score: float | None
    messages: list[dict[str, object]] = Field(description="Bodies as in docs/alerts.md, oldest first.")


class Alerts(Answer):
    """Alerts, the open ones first, then the newest."""

    open: int
    alerts: list[Alert]


class PartitionState(BaseModel):
    """How far a partition is."""

    partition: int
    state: Progress = Field(
        description="idle: at its end, by a proof; silent: no report for 30 s; unknown: no cursor yet."
    )
    next: int | None = Field(description="The next offset that Redis will accept.")
    end: int | None = Field(description="End of the log as last seen.")
    lag: int | None
    watermark: Time | None = Field(description="No earlier event time is expected.")
    slowest: bool = Field(description="All minutes wait for it.")
    reported: Time | None
    owner: str


class Pipeline(Answer):
    """How far every partition is: whether the numbers can be trusted."""

    log: str = Field(description="Topic and incarnation.")
    lag: int = Field(description="Records behind, over all partitions.")
    expired: int = Field(description="Mentions older than Redis remembers: in the archive only.")
    floor: Time | None = Field(description="The first minute that Redis holds wholly.")
    brands: int
    networks: list[str]
    freshness: Freshness
    partitions: list[PartitionState]


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


def instant(time_ms: int) -> str:
    """Write a time, ms UTC, as RFC 3339; whole seconds without a fraction."""
    return rfc3339(time_ms)


def instant_or_none(time_ms: int | None) -> str | None:
    """Do the same for a time that may be unknown: null for none, and for what is before 1970."""
    return None if time_ms is None or time_ms <= 0 else instant(time_ms)
