// The Netty module of Elasticsearch is not on Maven Central. This plugin serves HTTP by the server of
// the JDK, and has a transport that reaches no other node. The requests themselves are handled by
// Elasticsearch, from AbstractHttpServerTransport on.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.function.BiConsumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.elasticsearch.Build;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.support.SubscribableListener;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNode;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.bytes.BytesArray;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.common.component.AbstractLifecycleComponent;
import org.elasticsearch.common.io.stream.BytesStreamOutput;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.network.CloseableChannel;
import org.elasticsearch.common.network.NetworkService;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.common.transport.BoundTransportAddress;
import org.elasticsearch.common.transport.TransportAddress;
import org.elasticsearch.common.util.BigArrays;
import org.elasticsearch.common.util.PageCacheRecycler;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.http.AbstractHttpServerTransport;
import org.elasticsearch.http.HttpBody;
import org.elasticsearch.http.HttpChannel;
import org.elasticsearch.http.HttpPreRequest;
import org.elasticsearch.http.HttpRequest;
import org.elasticsearch.http.HttpResponse;
import org.elasticsearch.http.HttpServerChannel;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.indices.breaker.CircuitBreakerService;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.NetworkPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.ChunkedRestResponseBodyPart;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.telemetry.TelemetryProvider;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.BytesRefRecycler;
import org.elasticsearch.transport.ConnectTransportException;
import org.elasticsearch.transport.ConnectionProfile;
import org.elasticsearch.transport.Transport;
import org.elasticsearch.transport.TransportMessageListener;
import org.elasticsearch.transport.TransportStats;
import org.elasticsearch.xcontent.NamedXContentRegistry;

public class JdkHttp extends Plugin implements NetworkPlugin, ActionPlugin {
  /** `GET /` is in a module of its own, which Maven Central does not have either. */
  @Override
  public Collection<RestHandler> getRestHandlers(
      Settings settings,
      NamedWriteableRegistry registry,
      RestController controller,
      ClusterSettings clusterSettings,
      IndexScopedSettings indexSettings,
      SettingsFilter filter,
      IndexNameExpressionResolver names,
      Supplier<DiscoveryNodes> nodes,
      Predicate<NodeFeature> features) {
    return List.of(
        new RestHandler() {
          @Override
          public List<Route> routes() {
            return List.of(new Route(RestRequest.Method.GET, "/"));
          }

          @Override
          public void handleRequest(RestRequest request, RestChannel channel, NodeClient client)
              throws IOException {
            var version = Map.of("number", Build.current().version());
            var body = Map.of("version", version);
            channel.sendResponse(new RestResponse(RestStatus.OK, channel.newBuilder().map(body)));
          }
        });
  }

  @Override
  public Map<String, Supplier<HttpServerTransport>> getHttpTransports(
      Settings settings,
      ThreadPool threadPool,
      BigArrays bigArrays,
      PageCacheRecycler pageCacheRecycler,
      CircuitBreakerService breakers,
      NamedXContentRegistry registry,
      NetworkService network,
      HttpServerTransport.Dispatcher dispatcher,
      BiConsumer<HttpPreRequest, ThreadContext> perRequest,
      ClusterSettings clusterSettings,
      TelemetryProvider telemetry) {
    return Map.of(
        "jdk",
        () ->
            new Http(
                settings,
                network,
                new BytesRefRecycler(pageCacheRecycler),
                threadPool,
                registry,
                dispatcher,
                clusterSettings,
                telemetry));
  }

  @Override
  public Map<String, Supplier<Transport>> getTransports(
      Settings settings,
      ThreadPool threadPool,
      PageCacheRecycler pageCacheRecycler,
      CircuitBreakerService breakers,
      NamedWriteableRegistry registry,
      NetworkService network) {
    return Map.of("none", NoTransport::new);
  }

  abstract static class Open implements CloseableChannel {
    private final SubscribableListener<Void> closed = new SubscribableListener<>();

    @Override
    public void close() {
      closed.onResponse(null);
    }

    @Override
    public void addCloseListener(ActionListener<Void> listener) {
      closed.addListener(listener);
    }

    @Override
    public boolean isOpen() {
      return !closed.isDone();
    }
  }

  static final class Http extends AbstractHttpServerTransport {
    private HttpServer server;

    Http(
        Settings settings,
        NetworkService network,
        BytesRefRecycler recycler,
        ThreadPool threadPool,
        NamedXContentRegistry registry,
        Dispatcher dispatcher,
        ClusterSettings clusterSettings,
        TelemetryProvider telemetry) {
      super(settings, network, recycler, threadPool, registry, dispatcher, clusterSettings, telemetry);
    }

    @Override
    protected HttpServerChannel bind(InetSocketAddress address) throws IOException {
      server = HttpServer.create(address, 0);
      server.setExecutor(Executors.newCachedThreadPool());
      server.createContext("/", this::handle);
      InetSocketAddress bound = server.getAddress();
      class Channel extends Open implements HttpServerChannel {
        @Override
        public InetSocketAddress getLocalAddress() {
          return bound;
        }
      }
      return new Channel();
    }

    @Override
    protected void startInternal() {
      bindServer();
      server.start();
    }

    @Override
    protected void stopInternal() {
      server.stop(0);
    }

    private void handle(HttpExchange exchange) throws IOException {
      int limit = (int) maxContentLength.getBytes();
      byte[] body = exchange.getRequestBody().readNBytes(limit + 1);
      if (body.length > limit) {
        exchange.sendResponseHeaders(RestStatus.REQUEST_ENTITY_TOO_LARGE.getStatus(), -1);
        exchange.close();
        return;
      }
      Exchange channel = new Exchange(exchange);
      serverAcceptedChannel(channel);
      incomingRequest(new Request(exchange, body, this), channel);
    }
  }

  record Response(RestStatus status, BytesReference body, Map<String, List<String>> headers)
      implements HttpResponse {
    @Override
    public void addHeader(String name, String value) {
      headers.put(name, List.of(value));
    }

    @Override
    public boolean containsHeader(String name) {
      return headers.containsKey(name);
    }
  }

  /** One request and its reply: the connections are those of the JDK. */
  static final class Exchange extends Open implements HttpChannel {
    private final HttpExchange exchange;

    Exchange(HttpExchange exchange) {
      this.exchange = exchange;
    }

    @Override
    public void sendResponse(HttpResponse response, ActionListener<Void> listener) {
      try {
        Response reply = (Response) response;
        boolean isHead = exchange.getRequestMethod().equals("HEAD");
        exchange.getResponseHeaders().putAll(reply.headers);
        // A reply is sent whole.
        exchange.getResponseHeaders().remove("transfer-encoding");
        int length = reply.body.length();
        exchange.sendResponseHeaders(reply.status.getStatus(), isHead || length == 0 ? -1 : length);
        if (!isHead) reply.body.writeTo(exchange.getResponseBody());
        listener.onResponse(null);
      } catch (IOException error) {
        listener.onFailure(error);
      } finally {
        close();
      }
    }

    @Override
    public void close() {
      exchange.close();
      super.close();
    }

    @Override
    public InetSocketAddress getLocalAddress() {
      return exchange.getLocalAddress();
    }

    @Override
    public InetSocketAddress getRemoteAddress() {
      return exchange.getRemoteAddress();
    }
  }

  static final class Request implements HttpRequest {
    private final HttpExchange exchange;
    private final Http http;
    private final Map<String, List<String>> headers;
    private HttpBody body;

    Request(HttpExchange exchange, byte[] body, Http http) {
      this.exchange = exchange;
      this.http = http;
      this.headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
      this.headers.putAll(exchange.getRequestHeaders());
      this.body = HttpBody.fromBytesReference(new BytesArray(body));
    }

    @Override
    public RestRequest.Method method() {
      return RestRequest.Method.valueOf(exchange.getRequestMethod());
    }

    @Override
    public String uri() {
      return exchange.getRequestURI().toString();
    }

    @Override
    public Map<String, List<String>> getHeaders() {
      return headers;
    }

    @Override
    public HttpBody body() {
      return body;
    }

    @Override
    public void setBody(HttpBody body) {
      this.body = body;
    }

    @Override
    public List<String> strictCookies() {
      return List.of();
    }

    @Override
    public HttpVersion protocolVersion() {
      return HttpVersion.HTTP_1_1;
    }

    @Override
    public HttpRequest removeHeader(String name) {
      headers.remove(name);
      return this;
    }

    @Override
    public boolean hasContent() {
      return !body.isEmpty();
    }

    @Override
    public HttpResponse createResponse(RestStatus status, BytesReference content) {
      return new Response(status, content, new HashMap<>());
    }

    @Override
    public HttpResponse createResponse(RestStatus status, ChunkedRestResponseBodyPart part) {
      BytesStreamOutput all = new BytesStreamOutput();
      try {
        while (!part.isPartComplete()) {
          try (var chunk = part.encodeChunk(1 << 15, http.recycler())) {
            chunk.writeTo(all);
          }
        }
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
      if (!part.isLastPart()) throw new IllegalStateException("a reply in parts");
      return createResponse(status, all.bytes());
    }

    @Override
    public Exception getInboundException() {
      return null;
    }

    @Override
    public void release() {}
  }

  /** Of a node that is alone: it sends to itself without a transport. */
  static final class NoTransport extends AbstractLifecycleComponent implements Transport {
    private final ResponseHandlers responses = new ResponseHandlers();
    private final RequestHandlers requests = new RequestHandlers();

    @Override
    public BoundTransportAddress boundAddress() {
      TransportAddress address =
          new TransportAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 1));
      return new BoundTransportAddress(new TransportAddress[] {address}, address);
    }

    @Override
    public BoundTransportAddress boundRemoteIngressAddress() {
      return null;
    }

    @Override
    public Map<String, BoundTransportAddress> profileBoundAddresses() {
      return Map.of();
    }

    @Override
    public TransportAddress[] addressesFromString(String address) {
      return new TransportAddress[0];
    }

    @Override
    public List<String> getDefaultSeedAddresses() {
      return List.of();
    }

    @Override
    public void openConnection(
        DiscoveryNode node, ConnectionProfile profile, ActionListener<Connection> listener) {
      listener.onFailure(new ConnectTransportException(node, "this node is alone"));
    }

    @Override
    public void setMessageListener(TransportMessageListener listener) {}

    @Override
    public TransportStats getStats() {
      return new TransportStats(0, 0, 0, 0, 0, 0, new long[0], new long[0], Map.of());
    }

    @Override
    public ResponseHandlers getResponseHandlers() {
      return responses;
    }

    @Override
    public RequestHandlers getRequestHandlers() {
      return requests;
    }

    @Override
    protected void doStart() {}

    @Override
    protected void doStop() {}

    @Override
    protected void doClose() {}
  }
}
