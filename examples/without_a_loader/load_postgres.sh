#!/bin/sh
# Upsert the tap's gzipped jsonl files into PostgreSQL with COPY.
#
#     tap-voucherify --config=config.json >> messages.jsonl
#     sh load_postgres.sh batches vouchers
#     sed -n 's/^{"type":"STATE","value":\(.*\)}$/\1/p' messages.jsonl | tail -n 1 > state.json
#
# `config.json` has `batch_config: {"encoding": {"format": "jsonl", "compression": "gzip"}, ...}`.
# psql reads the connection from PGHOST, PGUSER and so on. The files are deleted once their rows are
# committed.
set -eu
folder=$1
stream=$2

# Oldest first: the last row per key wins.
IFS='
'
set -- $(ls -tr "$folder/$stream"-*.gz 2>/dev/null)
[ $# -gt 0 ] || exit 0

psql --quiet --set ON_ERROR_STOP=1 <<SQL
CREATE TABLE IF NOT EXISTS $stream (id text PRIMARY KEY, created_at timestamptz, record jsonb);
DROP TABLE IF EXISTS ${stream}_staging;
CREATE UNLOGGED TABLE ${stream}_staging (number bigserial, record jsonb);
SQL

# One JSON document per row: JSON text contains neither of these quote and delimiter characters.
gzip -dc "$@" | psql --quiet --set ON_ERROR_STOP=1 --command \
    "COPY ${stream}_staging (record) FROM STDIN WITH (FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02')"

psql --quiet --set ON_ERROR_STOP=1 --single-transaction <<SQL
INSERT INTO $stream
SELECT DISTINCT ON (key) key, (record->>'created_at')::timestamptz, record
FROM ${stream}_staging, coalesce(record->>'id', record->>'publication_key') AS key
ORDER BY key, number DESC
ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, record = excluded.record;
DROP TABLE ${stream}_staging;
SQL

rm "$@"
