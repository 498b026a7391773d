"""What stays on the ground: it watches the fleet, estimates its risk, mitigates, and keeps the evidence."""

from .audit.intake import ChainHead
from .mitigation.playbook import Playbook
from .mitigation.playbook_file import load_playbook
from .node import ControlNode, Fleet
from .settings import ControlSettings

__all__ = ["ChainHead", "ControlNode", "ControlSettings", "Fleet", "Playbook", "load_playbook"]
