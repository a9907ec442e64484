// Options of S3 and compatible servers. Each defaults to a variable of the environment.

export interface S3Options {
  /** URL of a server other than AWS. The default is AWS_ENDPOINT_URL_S3, then AWS_ENDPOINT_URL. */
  readonly endpoint?: string | undefined
  /** The default is AWS_REGION, then the AWS config file; us-east-1 for a server other than AWS. */
  readonly region?: string | undefined
  /**
   * Use http://server/bucket instead of http://bucket.server. The default is true for a server
   * other than AWS.
   */
  readonly pathStyle?: boolean | undefined
  /**
   * The default is 'when_required' for a server other than AWS, because some refuse AWS's
   * checksums.
   */
  readonly checksums?: 'when_required' | 'when_supported' | undefined
  /**
   * Pays for the requests to a requester-pays bucket. The default is AWS_REQUEST_PAYER=requester.
   */
  readonly requesterPays?: boolean | undefined
  /**
   * Sends requests without a signature, to public buckets. The default is AWS_NO_SIGN_REQUEST=YES.
   */
  readonly anonymous?: boolean | undefined
  /** Encrypts objects with this key of KMS. The default is AWS_SSE_KMS_KEY_ID. */
  readonly kmsKeyId?: string | undefined
  /** The URL of the store in messages and plans; default `s3://bucket/prefix`. */
  readonly shownUrl?: string | undefined
  /** Maximum number of connections. */
  readonly connections?: number | undefined
  /** Total number of attempts of one call while the store is overloaded or unreachable. */
  readonly tries?: number | undefined
}
