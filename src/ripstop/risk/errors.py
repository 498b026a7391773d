"""What can be wrong with a graph, an item state or a question to the risk engine."""

from __future__ import annotations

from ripstop.core.errors import ConfigurationError


class RiskInputError(ConfigurationError):
    """A graph, a load state or a setting that the risk engine cannot take (codes C07xx).

    C0701 file or shape; C0702 node; C0703 edge end; C0704 weight; C0705 edge given twice; C0706 node
    quantity; C0711 theta; C0712 trials; C0713 seed; C0714 model; C0715 another setting; C0721 item state;
    C0731 incident log; C0732 limits of a search; C0741 power grid;
    C0742 swing model; C0743 telemetry; C0744 telemetry that cannot identify a model.
    """
