"""The tests against the built wheel, on every Python there is: `make test-wheel`."""
