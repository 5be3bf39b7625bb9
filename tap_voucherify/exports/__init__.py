"""From an export request to files on disk.

Create an export, wait for it, download it or resume one, and run ahead of the reader.
"""
