#!/bin/sh
# Starts one node of Elasticsearch, for test/load/elasticsearch.test.ts. Needs Maven and Java 21
# or newer (JAVA_HOME). ELASTICSEARCH_HEAP is its heap; 512 MiB hold the small tests.
#
#   test/elasticsearch/start.sh FOLDER [PORT]
#   REEMBED_TEST_ELASTICSEARCH=http://127.0.0.1:9201 npm test -- test/load/elasticsearch.test.ts
set -eu
[ $# -ge 1 ] || { echo 'usage: test/elasticsearch/start.sh FOLDER [PORT]' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/lib" "$1/classes" "$1/plugin" "$1/home/config" "$1/home/plugins/jdk-http"
cd "$1"
plugin=home/plugins/jdk-http
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$PWD/lib"
"$JAVA_HOME/bin/javac" -cp 'lib/*' -d classes "$here/Launch.java"
"$JAVA_HOME/bin/javac" -cp 'lib/*' -d plugin "$here/JdkHttp.java"
"$JAVA_HOME/bin/jar" --create --file "$plugin/jdk-http.jar" -C plugin .
cp "$here/plugin-descriptor.properties" "$plugin"
# The libraries for vectors are only in the distribution; Lucene then uses those of the JDK.
exec "$JAVA_HOME/bin/java" "-Xms${ELASTICSEARCH_HEAP:-512m}" "-Xmx${ELASTICSEARCH_HEAP:-512m}" --enable-native-access=ALL-UNNAMED \
  --add-modules jdk.incubator.vector -Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false -Dlog4j2.disable.jmx=true \
  -cp 'classes:lib/*' Launch home "${2:-9201}"
