"""The agent as a service on its own machine, for programs in any language: HTTP on a socket or loopback."""

from .service import Sidecar, SidecarSettings

__all__ = ["Sidecar", "SidecarSettings"]
