// A node of Elasticsearch in a process without the launcher of the distribution, and so without
// its native libraries, entitlements and security.

import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

public class Launch {
  public static void main(String[] args) throws Exception {
    Path home = Path.of(args[0]).toAbsolutePath();
    Settings settings =
        Settings.builder()
            .put("path.home", home)
            .put("http.port", args[1])
            .put("network.host", "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("node.name", "test")
            .put("http.type", "jdk")
            .put("transport.type", "none")
            // A disk that is nearly full would make every index read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    LogConfigurator.configureESLogging();
    LogConfigurator.configureWithoutConfig(settings);
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test");
    PluginsLoader plugins =
        PluginsLoader.createPluginsLoader(
            Set.of(), PluginsLoader.loadPluginsBundles(home.resolve("plugins")), Map.of(), false);
    new Node(environment, plugins).start();
    System.out.println("started");
    Thread.currentThread().join();
  }
}
