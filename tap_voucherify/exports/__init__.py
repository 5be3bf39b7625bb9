"""From an export request to files on disk: create, wait, download, resume, and run ahead of the reader."""
