#!/bin/sh
# Certificates for the fetch tests, into DIR: ca.pem signs localhost, elsewhere, subject (no alternative name),
# expired and client (not for servers); stranger signed itself.
set -eu
cd "$1"
exec 2>openssl.log

new_key() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@"
}

new_key -x509 -keyout ca.key -out ca.pem -days 2 -subj "/CN=Test CA" \
    -addext keyUsage=critical,keyCertSign -addext basicConstraints=critical,CA:TRUE
ln -s ca.pem "$(openssl x509 -in ca.pem -noout -hash).0"

# name, subject, days, extensions
sign() {
    new_key -keyout "$1.key" -out "$1.csr" -subj "$2"
    printf '%b' "$4" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$3" -extfile "$1.ext" -out "$1.pem"
}
here='subjectAltName=DNS:localhost,DNS:*.peer.test,IP:127.0.0.1,IP:::1\n'
sign localhost /CN=peer 2 "${here}extendedKeyUsage=serverAuth\n"
sign elsewhere /CN=localhost 2 'subjectAltName=DNS:elsewhere.example,DNS:*.wild.example,DNS:p*.more.example,IP:127.0.0.2\n'
sign subject /CN=localhost 2 'basicConstraints=CA:FALSE\n'
sign expired /CN=peer -1 "$here"
sign client /CN=peer 2 "${here}extendedKeyUsage=clientAuth\n"
new_key -x509 -keyout stranger.key -out stranger.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1
