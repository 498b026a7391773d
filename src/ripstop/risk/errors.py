"""What can be wrong with a graph, an item state or a question to the risk engine."""

from __future__ import annotations

from ripstop.core.errors import ConfigurationError


class RiskInputError(ConfigurationError):
    """A graph, a load state or a setting that the risk engine cannot take (codes R0xxx).

    R0001 file or shape; R0002 node; R0003 edge end; R0004 weight; R0005 edge given twice; R0006 node
    quantity; R0101 theta; R0102 trials; R0103 seed; R0104 model; R0105 another setting; R0201 item state.
    """
