"""The repository itself: documents, package, workflows and structure."""
