#!/bin/sh
# Makes an authority and a server certificate for the fleet's broker: certificates.sh HOST [DIRECTORY]
# HOST is the name (or address) by which devices reach it. Keeps what is there: the authority is made once, the server
# certificate anew each time. ca.key signs everything: keep it off the broker.
set -eu
host=${1:?usage: certificates.sh HOST [DIRECTORY]}
directory=${2:-.}
mkdir -p "$directory"
cd "$directory"
umask 077

case $host in
    *[!0-9.]*) name="DNS:$host" ;;
    *) name="IP:$host" ;;
esac

if [ ! -f ca.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7300 \
        -subj "/CN=blackbox fleet" -keyout ca.key -out ca.crt
fi
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$host" -keyout server.key -out server.csr
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$name" >server.ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile server.ext -out server.crt
rm -f server.csr server.ext
chmod 644 ca.crt server.crt
echo "server.crt and server.key go to the broker, ca.crt to every device"
