"""Times as people write them: ISO 8601, UTC unless an offset is given. Pure."""

from datetime import UTC, datetime

from linewatch_core.errors import MalformedError


def parse_utc_ms(text: str) -> int:
    """Return an ISO 8601 time as Unix ms.

    Raises:
        MalformedError: not such a time; the text says what is expected.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise MalformedError(
            f"cannot read the time {text[:40]!r}: expected ISO 8601 in UTC, such as "
            "2022-01-05T10:30:00Z"
        ) from error
