#!/bin/sh
# Lets a device (or a role) in: enroll.sh NAME [DIRECTORY]
# Gives NAME a new password in DIRECTORY/passwords and writes it to DIRECTORY/NAME.password, for the device's
# mqtt.password_file. mosquitto reads its files again on SIGHUP: systemctl reload mosquitto
set -eu
name=${1:?usage: enroll.sh NAME [DIRECTORY]}
directory=${2:-/etc/mosquitto/fleet}
umask 077

case $name in
    '' | *[!a-z0-9_-]* | [_-]* | all | cmd) echo "$name cannot name a device: use a-z, 0-9, _ and -" >&2 && exit 2 ;;
esac

password=$(openssl rand -base64 24)
touch "$directory/passwords"
mosquitto_passwd -b "$directory/passwords" "$name" "$password"
printf '%s\n' "$password" >"$directory/$name.password"
cat <<EOF
# edge-agent.toml of $name, with ca.crt and $name.password beside it:
[device]
id = "$name"

[mqtt]
host = "broker.example"
tls = true
ca_file = "ca.crt"
username = "$name"
password_file = "$name.password"
EOF
