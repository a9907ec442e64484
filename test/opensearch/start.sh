#!/bin/sh
# Starts one node of OpenSearch with the k-NN plugin, for test/load/opensearch.test.ts. Needs Maven
# and Java 21 or newer (JAVA_HOME). OPENSEARCH_HEAP is its heap; 512 MiB hold the small tests.
#
#   test/opensearch/start.sh FOLDER [PORT]
#   REEMBED_TEST_OPENSEARCH=http://127.0.0.1:9200 npm test -- test/load/opensearch.test.ts
set -eu
[ $# -ge 1 ] || { echo 'usage: test/opensearch/start.sh FOLDER [PORT]' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/lib" "$1/classes" "$1/home"
cd "$1"
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$PWD/lib"
unzip -qo lib/opensearch-knn-*.zip -d lib
"$JAVA_HOME/bin/javac" -cp 'lib/*' -d classes "$here"/*.java
# classes/ is first: its classes replace those of the plugin.
exec "$JAVA_HOME/bin/java" "-Xms${OPENSEARCH_HEAP:-512m}" "-Xmx${OPENSEARCH_HEAP:-512m}" --enable-native-access=ALL-UNNAMED \
  --add-modules jdk.incubator.vector -cp 'classes:lib/*' Launch home "${2:-9200}"
