#!/bin/sh
# Runs `distexec` with secrets that a container gets as files: the cluster's own, and the server's
# password, which belongs into a URL, and not into a command line.
set -eu
umask 077
folder="${SECRETS_FOLDER:-/run/secrets}"
key="$HOME/.config/distexec/secret.key"

# A copy, since a mounted file may belong to somebody else, or be open to a group: refused.
if [ -r "$folder/distexec_secret" ] && [ ! -e "$key" ]; then
    mkdir -p "${key%/*}"
    cat "$folder/distexec_secret" > "$key.$$"
    mv "$key.$$" "$key"
fi
if [ -z "${DISTEXEC_URL:-}" ] && [ -r "$folder/server_password" ]; then
    DISTEXEC_URL="redis://:$(cat "$folder/server_password")@${SERVER:-server:6379}?allow_plaintext=true"
    export DISTEXEC_URL
fi
exec distexec "$@"
