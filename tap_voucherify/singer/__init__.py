"""The only code that depends on the internals of singer-sdk.

Messages, bookmarks, batch files, the command line and signals. The package uses these private
parts of the SDK, each covered by a test:

- `singer_sdk.configuration._dict_config.parse_environment_config`
- `singer_sdk.Stream._check_max_record_limit`
- `singer_sdk.Stream._sync_records`
- `singer_sdk.Stream._tap`
- `singer_sdk.Tap._setup_signal_handlers`
"""
