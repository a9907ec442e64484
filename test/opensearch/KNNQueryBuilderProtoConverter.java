// Replaces the class of the k-NN plugin that needs the gRPC transport.

package org.opensearch.knn.grpc.proto.request.search.query;

public class KNNQueryBuilderProtoConverter
    implements org.opensearch.transport.grpc.spi.QueryBuilderProtoConverter {}
