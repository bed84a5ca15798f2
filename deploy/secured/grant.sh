#!/bin/sh
# Makes Kafka's users and gives them the rights of deploy/README.md, as often as it is run.
# grant.sh BROKER FOLDER   (BROKER lets us do anything; FOLDER is the one of prepare.sh)
set -eu
tools=/opt/kafka/bin
broker=$1 passwords=$2/passwords

user() { # user NAME
    "$tools/kafka-configs.sh" --bootstrap-server "$broker" --alter --entity-type users \
        --entity-name "$1" --add-config "SCRAM-SHA-512=[password=$(cat "$passwords/$1")]"
}
allow() { # allow USER OPTION NAME PATTERN OPERATION...
    name=$1 option=$2 resource=$3 pattern=$4
    shift 4
    for operation; do set -- "$@" --operation "$operation"; shift; done
    "$tools/kafka-acls.sh" --bootstrap-server "$broker" --add --allow-principal "User:$name" \
        "$option" "$resource" --resource-pattern-type "$pattern" "$@"
}

user worker
user api
for topic in purchases browses engagements persona-assignments customer-deletions; do
    allow worker --topic "$topic" literal Read DescribeConfigs Create
done
allow worker --topic persona-reroutes literal Read Write Create
allow worker --topic persona-changes literal Read Write DescribeConfigs Create
allow worker --topic persona-dead-letters literal Write DescribeConfigs Create
allow worker --group stream-persona literal Read
allow worker --transactional-id stream-persona-changes- prefixed Write
for topic in purchases browses engagements persona-reroutes persona-changes; do
    allow api --topic "$topic" literal Read
done
for topic in persona-assignments customer-deletions; do
    allow api --topic "$topic" literal Write
done
allow api --group stream-persona literal Describe
