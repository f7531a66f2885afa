"""The metrics that Haro reports and the attributes they carry: what alerts and workbook may ask for."""

METRICS = {
    "haro.clips.scored": {"hydrophone", "model_version", "detected"},
    "haro.audio.to_scored": {"hydrophone"},
    "haro.audio.to_recorded": {"hydrophone"},
    "haro.gaps": {"hydrophone", "reason"},
    "haro.score": {"hydrophone", "model_version"},
    "haro.queue.age": set[str](),
    "haro.queue.waiting": set[str](),
    "haro.queue.dead": set[str](),
    "haro.hydrophone.newest": {"hydrophone"},
    "haro.polls.failed": {"hydrophone"},
    "haro.model.load_failures": set[str](),
    "haro.resent": set[str](),
    "haro.notifications": {"audience", "outcome"},
}
