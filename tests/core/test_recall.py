from ripstop.core.canonical import canonical_json
from ripstop.core.recall import Recall, characters
from ripstop.core.wire.cbor import encode


def test_a_result_is_made_once_and_what_fails_is_not_remembered():
    made = []

    def make(key):
        made.append(key)
        return 1 / key

    recall = Recall(make, abs)
    assert recall[4] == recall[4] == 0.25
    for _ in range(2):
        try:
            recall[0]
        except ZeroDivisionError:
            made.append("failed")
    assert made == [4, 0, "failed", 0, "failed"]


def test_a_full_memory_begins_anew_and_a_large_key_is_never_kept():
    recall = Recall(str, lambda key: key, most=10, most_weight=100)
    for key in range(95):
        assert recall[key] == str(key)
        assert len(recall) <= 10
    recall.clear()
    assert recall[101] == "101"
    assert len(recall) == 0


def test_wide_objects_leave_nothing_behind_in_the_encoders():
    from ripstop.core import canonical
    from ripstop.core.wire import cbor

    for number in range(50):
        wide = {f"{number}/{index}": 0 for index in range(2000)}
        canonical_json(wide)
        encode(wide)
    for layouts in (canonical._LAYOUTS, cbor._LAYOUTS):
        assert max(map(characters, layouts), default=0) <= 1024
