#!/bin/sh
# Start a server, import a file, search it, stop. Run while the image is built: a wrong image ends there, and all modules
# that a server loads are compiled.
set -eu
folder=$(mktemp -d)
mkdir "$folder/files"
echo '{"id": 1, "vector": [1, 2, 3, 4]}' > "$folder/files/a.jsonl"
penstock serve --data-dir "$folder/data" --import-root "$folder/files" --port 19530 --workers 1 &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$folder"' EXIT
for _ in $(seq 300); do
    python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:19530/readyz", timeout=5)' 2> /dev/null && break
    kill -0 $server
    sleep 0.2
done
penstock import "$folder/files/a.jsonl" --collection docs --create --yes
penstock search docs --id 1 --json | grep -q '"id": *1'
python3 -c 'import psycopg, penstock.server.grpc.server'
penstock keys create smoke --role reader --data-dir "$folder/data" > /dev/null
