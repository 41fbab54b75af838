#!/usr/bin/env bash
# Makes the certificates of the fake Hub: two authorities, and localhost signed by the first.
set -euo pipefail
cd "$(dirname "$0")"
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt; }
scratch=$(mktemp -d)
for authority in trusted other; do
    key > "$scratch/$authority.key"
    openssl req -new -x509 -key "$scratch/$authority.key" -days 36500 -subj "/CN=sconce tests, $authority" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -out "$authority.pem"
done
key > localhost.key
openssl req -new -key localhost.key -subj "/CN=localhost" |
    openssl x509 -req -CA trusted.pem -CAkey "$scratch/trusted.key" -days 36500 -out localhost.pem -extfile <(
        printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n'
    )
rm -r "$scratch"
