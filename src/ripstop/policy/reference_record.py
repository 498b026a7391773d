"""What a decision's own record lets us observe again: enough to decide it once more, without the past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field

from ripstop.core.canonical import Json
from ripstop.core.sample import Sample
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.budgets import Budget
from ripstop.policy.state import Reading, State
from ripstop.policy.temporal import key_of


@dataclass(frozen=True, slots=True)
class Recorded:
    """The samples and the remembered values of a decision's record, in place of a state."""

    state: State
    values: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def of_samples(
        cls,
        vocabulary: Vocabulary,
        samples: Iterable[Sample],
        last_valid: Iterable[Sample] = (),
        remembered: Iterable[Sample] = (),
    ) -> Recorded:
        """Rebuild from a decision's fields."""
        values = {sample.signal: sample.value for sample in remembered}
        return cls(State.of_samples(vocabulary, samples, last_valid), values)

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The latest reading of each signal."""
        return self.state.readings

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal."""
        return self.state.sample(name)

    def recall(self, t_us: int) -> Callable[[Json], Json]:
        """Give the recorded value of a temporal operator."""
        return lambda rule: self.values.get(key_of(rule, self.state.vocabulary))

    def recall_keys(self, t_us: int) -> Callable[[str], Json]:
        """Give the recorded value of a temporal operator by its key."""
        return self.values.get

    def room(self, key: str, budget: Budget, context: Mapping[str, Json], t_us: int) -> bool | None:
        """Tell what was recorded about a budget."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else None
