import pytest

from ripstop.core.errors import WireError
from ripstop.core.journal import RecordKind, read_entry, restrictions_digest, write_entry
from ripstop.core.wire.cbor import encode


def test_a_record_reads_back_as_it_was_written():
    record = write_entry(RecordKind.NOTICE, 17, {"name": "breaker.opened", "fields": {"wait_s": 1.5}})
    entry = read_entry(record)
    assert (entry.kind, entry.t_us) == (RecordKind.NOTICE, 17)
    assert entry.body == {"name": "breaker.opened", "fields": {"wait_s": 1.5}}


@pytest.mark.parametrize(
    "value", [[1, "notice", 0], [2, "notice", 0, {}], [1, "rumour", 0, {}], [1, "notice", 0.5, {}], {}]
)
def test_another_form_is_refused(value):
    with pytest.raises(WireError) as caught:
        read_entry(encode(value))
    assert caught.value.code == "W0403"


def test_no_restrictions_have_no_digest_and_order_counts():
    assert restrictions_digest([]) == ""
    assert restrictions_digest(["a", "b"]) != restrictions_digest(["b", "a"])
