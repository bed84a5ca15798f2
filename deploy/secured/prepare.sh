#!/bin/sh
# Makes what the secured profile needs, once: an authority, certificates, passwords, Redis's users.
# prepare.sh FOLDER   (needs openssl; what is there already is kept)
set -eu
umask 077
cd "$1"
[ -e done ] && exit 0

mkdir -p kafka redis passwords
openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=stream-persona authority" \
    -keyout authority.key -out authority.pem 2>/dev/null

certify() { # certify NAME FOLDER: a key and a certificate for a host
    openssl req -newkey rsa:3072 -nodes -subj "/CN=$1" -keyout "$2/server.key" -out "$2/server.csr" \
        2>/dev/null
    printf 'subjectAltName=DNS:%s,DNS:localhost\nextendedKeyUsage=serverAuth\n' "$1" > "$2/names"
    openssl x509 -req -in "$2/server.csr" -CA authority.pem -CAkey authority.key -CAcreateserial \
        -days 825 -extfile "$2/names" -out "$2/server.crt" 2>/dev/null
    rm "$2/server.csr" "$2/names"
}
certify kafka-secured kafka
certify redis-secured redis
cat kafka/server.key kafka/server.crt > kafka/server.pem
rm authority.key # nothing more is signed with it

for process in worker api; do
    openssl rand -hex 24 > "passwords/$process"
done

# The rules of deploy/README.md; `nopass` for nobody, and no default user.
common='~persona* &persona-changes +@read +@write +@connection +@transaction +eval +evalsha +script|load +time +publish +info +cluster|info +config|get'
{
    echo "user default off"
    echo "user worker on >$(cat passwords/worker) $common"
    echo "user api on >$(cat passwords/api) $common +subscribe +unsubscribe"
} > redis/users.acl

# Each file is its reader's alone: Kafka runs as 1000, Redis as 999, we as 10001.
chmod 755 . kafka redis passwords
chmod 644 authority.pem
if [ "$(id -u)" = 0 ]; then
    chown -R 1000:1000 kafka
    chown -R 999:999 redis
    chown -R 10001:10001 passwords
fi
touch done
