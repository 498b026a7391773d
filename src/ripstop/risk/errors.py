"""What can be wrong with a graph, an item state or a question to the risk engine."""

from __future__ import annotations

from ripstop.core.errors import ConfigurationError


class RiskInputError(ConfigurationError):
    """A graph, a load state or a setting that the risk engine cannot take (codes C07xx).

    C0701 a file that cannot be read, or of another form; C0702 a node; C0703 an edge's ends; C0704 an
    edge's weight; C0705 an edge given twice; C0706 a quantity of a node; C0711 theta is no share; C0712
    trials are no whole number from 1; C0713 the seed is no whole number from 0; C0714 an unknown model;
    C0715 another setting; C0716 an argument of another kind; C0721 items of a load state; C0731 a log of
    incidents; C0732 the limits of a search; C0741 a power grid; C0742 a swing model; C0743 telemetry;
    C0744 telemetry that cannot identify a model; C0751 a series to forecast; C0752 the file of a model;
    C0753 a model whose parts do not fit together; C0754 the checkpoint of a training.
    """
