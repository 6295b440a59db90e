#!/bin/sh
# Certificates for the tests of TLS, into DIR: two authorities and what they signed (see below), OCSP answers.
set -eu
mkdir -p "$1"
cd "$1"
exec 2>openssl.log

ec() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@"; }
rsa() { openssl req -newkey rsa:2048 -nodes "$@"; }

for ca in ca other; do
    ec -x509 -keyout $ca.key -out $ca.pem -days 30 -subj "/CN=Test $ca" \
        -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -addext basicConstraints=critical,CA:TRUE
done

# kind, name, authority, days, extensions
sign() {
    $1 -keyout "$2.key" -out "$2.csr" -subj "/CN=$2"
    printf '%b' "$5" >"$2.ext"
    openssl x509 -req -in "$2.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -days "$4" -extfile "$2.ext" -out "$2.leaf"
    cat "$2.leaf" "$3.pem" >"$2.pem"
}
server='extendedKeyUsage=serverAuth\n'
client='extendedKeyUsage=clientAuth\n'
sign ec  public    ca 20 "subjectAltName=DNS:public.test,DNS:www.public.test,DNS:localhost,IP:127.0.0.1\n$server"
sign rsa publicrsa ca 20 "subjectAltName=DNS:public.test,DNS:localhost,IP:127.0.0.1\n$server"
sign ec  second    ca 20 "subjectAltName=DNS:public.test,DNS:localhost,IP:127.0.0.1\n$server"
sign ec  wild      ca 20 "subjectAltName=DNS:*.wild.test,DNS:Upper.TEST\n$server"
sign rsa exact     ca 20 "subjectAltName=DNS:one.wild.test\n$server"
sign ec  upstream  ca 20 "subjectAltName=DNS:orders.internal,IP:127.0.0.1\n$server"
sign ec  elsewhere ca 20 "subjectAltName=DNS:elsewhere.internal\n$server"
sign ec  expired   ca -1 "subjectAltName=DNS:orders.internal,DNS:localhost,IP:127.0.0.1\n$server"
sign ec  soon      ca 2  "subjectAltName=DNS:localhost,IP:127.0.0.1\n$server"
sign ec  partner   ca 20 "$client"
sign ec  partner2  ca 20 "$client"
sign ec  late      ca -1 "$client"
sign ec  foreign   other 20 "$client"
sign ec  purpose   ca 20 "$server"
ec -x509 -keyout self.key -out self.pem -days 20 -subj /CN=self
openssl ec -in public.key -aes128 -passout pass:secret -out encrypted.key
openssl ecparam -name secp521r1 -genkey -noout -out big.key
openssl req -x509 -key big.key -out big.pem -days 2 -subj /CN=big
cat ca.pem other.pem >both.pem

# OCSP: good for two days; for a minute; signed by somebody else; "revoked"
: >index.txt
for c in public second; do
    printf 'V\t350101000000Z\t\t%s\tunknown\t/CN=%s\n' "$(openssl x509 -in $c.leaf -noout -serial | cut -d= -f2)" $c >>index.txt
    openssl ocsp -issuer ca.pem -cert $c.leaf -reqout $c.req >/dev/null
done
answer() {
    out=$1 about=$2 by=$3
    shift 3
    openssl ocsp -index index.txt -CA ca.pem -rsigner "$by.pem" -rkey "$by.key" -reqin "$about.req" -respout "$out" "$@" >/dev/null
}
answer public.ocsp public ca -ndays 2
answer second.ocsp second ca -ndays 2
answer brief.ocsp public ca -nmin 1
answer unsigned.ocsp public other -ndays 2
sed -i 's/^V\t\([0-9Z]*\)\t\t/R\t\1\t200101000000Z\t/' index.txt
answer revoked.ocsp public ca -ndays 2
