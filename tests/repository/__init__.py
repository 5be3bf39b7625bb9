"""The repository itself: documents, packages, workflows and structure."""
