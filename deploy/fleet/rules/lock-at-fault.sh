#!/bin/sh
# A fleet rule: when a camera of any device fails, lock the last five minutes of that device.
#
#   lock-at-fault.sh -h broker.example -p 8883 --cafile ca.crt -u controller -P PASSWORD
#
# The arguments are those of mosquitto_sub and mosquitto_pub. BASE is the base topic (blackbox).
# The command's id is made from the event, so that two of these rules, or one that was started twice, lock once.
set -eu
base=${BASE:-blackbox}

mosquitto_sub -V 5 -q 1 -t "$base/+/event" "$@" |
    jq --unbuffered -r 'select(.event_type == "camera_fault") | [
            .device,
            ({id: "fault-\(.at)-\(.camera)", before: "5m", label: "fault \(.camera)", ttl: 60} | tojson)
        ] | @tsv' |
    while IFS="$(printf '\t')" read -r device command; do
        printf '%s\n' "$command" |
            mosquitto_pub -V 5 -q 1 -t "$base/$device/cmd/lock" -s "$@"
    done
