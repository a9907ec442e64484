// The k-NN plugin names this type of the gRPC transport, which this node does not have.

package org.opensearch.transport.grpc.spi;

public interface QueryBuilderProtoConverter {}
