// A node of OpenSearch whose plugins are on its own class path: they are not installed as archives.

import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.opensearch.Version;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;

public class Launch extends Node {
  Launch(Environment environment, Collection<PluginInfo> plugins) {
    super(environment, plugins, false);
  }

  static PluginInfo plugin(String name, String main) {
    return new PluginInfo(name, "", "", Version.CURRENT, "21", main, "", List.of(), false);
  }

  public static void main(String[] args) throws Exception {
    Settings settings =
        Settings.builder()
            .put("path.home", args[0])
            .put("http.port", args[1])
            .put("network.host", "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("node.name", "test")
            .put("http.type", "netty4")
            .put("transport.type", "netty4")
            // A disk that is nearly full would make every index read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test");
    List<PluginInfo> plugins =
        List.of(
            plugin("transport-netty4", "org.opensearch.transport.Netty4ModulePlugin"),
            plugin("lang-painless", "org.opensearch.painless.PainlessModulePlugin"),
            plugin("opensearch-knn", "org.opensearch.knn.plugin.KNNPlugin"));
    new Launch(environment, plugins).start();
    System.out.println("started");
    Thread.currentThread().join();
  }
}
