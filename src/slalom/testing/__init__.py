"""Does an optimizer keep the promises of torch.optim? One call says what it breaks."""

from slalom.testing.suite import Failure, Report, conformance

__all__ = ["Failure", "Report", "conformance"]
