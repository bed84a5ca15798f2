#!/bin/sh
# A shopper's public record, and what its persona likes most: sh lookup.sh CUST-04812
# "baseline: ..." stands where there is no persona to rank by.
set -eu

customer=${1:?"usage: sh lookup.sh CUSTOMER_ID"}
prefix=${STREAM_PERSONA_PREFIX:-}

ask() {
  redis-cli -u "${STREAM_PERSONA_REDIS_URL:-redis://localhost:6379/0}" -e --raw "$@"
}

record=$(ask GET "${prefix}persona:$customer")
if [ -z "$record" ]; then
  echo "baseline: unknown"
  exit
fi
printf '%s\n' "$record"

persona=$(printf '%s\n' "$record" | sed -n 's/.*"persona":"\([^"]*\)".*/\1/p')
if [ -z "$persona" ]; then
  echo "baseline: ambiguous"
  exit
fi
# Features and lifts come in turns: a line of each pair, the greatest lift first.
ask HGETALL "${prefix}persona-affinity:$persona" | paste - - |
  sort -t "$(printf '\t')" -k 2,2gr | head -n 10
