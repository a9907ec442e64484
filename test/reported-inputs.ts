// Inputs of people that failed once, as data: each with the test that holds the expected value, and
// tests of siblings of the same kind. reported-inputs.test.ts fails if a test that is cited here no
// longer exists.

import type { CitedTest } from './parts/cited-test.ts'

export interface ReportedInput {
  readonly number: number
  readonly input: string
  readonly expected: string
  readonly test: CitedTest
  readonly siblings: readonly CitedTest[]
}

const cases = (name: string): CitedTest => ['test/source/cases.test.ts', name]
const siblings = (name: string): CitedTest => ['test/source/siblings.test.ts', name]
const uses = (name: string): CitedTest => ['test/source/uses.test.ts', name]
const openai = (name: string): CitedTest => ['packages/endpoint/test/openai-server.test.ts', name]
const servers = (name: string): CitedTest => ['test/endpoint/openai-servers.test.ts', name]
const faults = (name: string): CitedTest => ['test/endpoint/faults.test.ts', name]
const poison = (name: string): CitedTest => ['packages/worker/test/poison.test.ts', name]
const redis = (name: string): CitedTest => ['test/redis/forms.test.ts', name]
const layouts = (name: string): CitedTest => ['test/export/layouts.test.ts', name]
const limits = (name: string): CitedTest => ['test/export/limits.test.ts', name]
const planned = (name: string): CitedTest => ['test/export/planned-limits.test.ts', name]
const doctor = (name: string): CitedTest => ['test/doctor.test.ts', name]

export const REPORTED_INPUTS: readonly ReportedInput[] = [
  {
    number: 1,
    input: 'A server whose model reads at most 512 tokens refuses a reference text.',
    expected: 'The proof of the model uses a shorter text.',
    test: openai('uses a shorter text where the server refuses the long one, and learns the limit'),
    siblings: [
      openai('leaves the long text out where every length is refused'),
      openai('lower what the server accepts, and no request exceeds them'),
      servers('$name: the run ends, with 199 of 200 documents'),
    ],
  },
  {
    number: 2,
    input: 'One text makes the server answer 500, or reset the connection.',
    expected: 'It becomes a reject with the message of the server; the other 199 are embedded.',
    test: poison('the message of the server is the message of the reject'),
    siblings: [
      poison('becomes a reject with the failure, and the others are embedded'),
      poison('is set aside after a bounded number of crashes, when the server returns quickly'),
      poison('is set aside by later attempts of the job, when the server takes longer than a job waits'),
      poison('a server that answers every request by %s rejects no document: the job is requeued'),
      servers('$name: the run ends, with 199 of 200 documents'),
    ],
  },
  {
    number: 3,
    input: 'A server refuses requests of more than 10 texts.',
    expected: 'The limit is found, kept and shown by doctor.',
    test: doctor(
      'doctor shows the limits of an OpenAI-compatible server, and plan and doctor warn of a missing prompt',
    ),
    siblings: [
      openai('a limit of %d inputs is found when the server is opened'),
      openai('do not raise what the server refuses'),
      faults('a batch limit that shrank is read from the refusal, and kept'),
      doctor('--endpoint-limits lowers the requests, and a limit that is none is refused'),
    ],
  },
  {
    number: 4,
    input: 'A Delta table whose three old rows were replaced by two new ones.',
    expected: 'The two current rows.',
    test: cases('that were overwritten have their current rows alone'),
    siblings: [
      cases('are read from a checkpoint and the commits after it, where older commits were cleaned up'),
      cases('are refused, with what to do: %s'),
      cases('with a deletion vector in a checkpoint are refused, and read once a commit removed its file'),
      cases('%s is refused by name at a folder of its data'),
    ],
  },
  {
    number: 5,
    input: 'TSV with lone quotes in two of five records.',
    expected: 'Five documents.',
    test: cases('have no quoting'),
    siblings: [
      cases('have quotes where they are asked for'),
      cases(
        'keep every field that begins and ends with a quote, a quote alone, and a quote at the end of the file',
      ),
      cases('without quoting, with quotes in texts, keeps every line'),
    ],
  },
  {
    number: 6,
    input: 'JSON integers above 2^53, carried, as strings and in a template.',
    expected: 'All digits.',
    test: cases('beyond 2^53 are exact as columns, as strings and in templates'),
    siblings: [
      cases('are exact as ids, in objects and lists, with fractions, and beyond the range of doubles'),
      uses('12345678901234567890'),
      siblings('lists of lists, structs in lists and integer keys of maps are JSON with all digits'),
    ],
  },
  {
    number: 7,
    input: 'An Arrow file by polars.',
    expected: 'Its three documents.',
    test: cases('files of polars are read by their footer'),
    siblings: [
      cases('files of polars are exact, with categories whose dictionary follows the batch'),
      siblings('%s has its texts and categories'),
      siblings(
        'a stream as before Arrow 0.15, without markers and with an end of four bytes, is read to its end',
      ),
      siblings('dictionaries that grow are read by the footer of a file, and refused in a stream'),
    ],
  },
  {
    number: 8,
    input: 'An Arrow column of decimals with two decimal places.',
    expected: '12.34 and -0.01.',
    test: cases('decimals, unsigned integers, times, durations and nested values are exact'),
    siblings: [
      siblings('decimals of 32 and 64 bits, and of a negative scale, keep their digits in Arrow'),
      siblings('decimals as integers and of 256 bits keep their digits in Parquet'),
      uses('bigdec'),
    ],
  },
  {
    number: 9,
    input: 'Parquet columns of timestamps, dates and times.',
    expected: 'All digits; a date is a date; no zone is invented.',
    test: cases('keeps all digits of times and decimals, invents no time zone, and a date is a date'),
    siblings: [
      siblings('INT96 has nanoseconds and no zone, also before 1970'),
      siblings('times of nanoseconds, milliseconds in a zone and dates are exact, also before 1970'),
      uses('polars-types.arrow'),
    ],
  },
  {
    number: 10,
    input: 'redis://host/99 on a server with 16 databases, and redis://host/mydb.',
    expected: 'Refused in one line.',
    test: redis('redis://PLAIN/99'),
    siblings: [
      redis('redis://PLAIN/mydb'),
      redis('redis://PLAIN/1/2'),
      redis('redis+cluster://PLAIN/1'),
      redis('the database of the URL is used, not database 0'),
    ],
  },
  {
    number: 13,
    input: "URLs of other schemes, and a Sentinel's own port.",
    expected: 'Supported, or named as unsupported within two seconds.',
    test: redis('redis://SENTINEL'),
    siblings: [
      redis('redis+sentinel://SENTINEL/main'),
      redis('redis+sentinel://PLAIN/main'),
      redis('valkey://PLAIN'),
      redis('unix://FOLDER/redis.sock'),
      redis('http://PLAIN'),
      redis('amqp://PLAIN'),
    ],
  },
  {
    number: 14,
    input: 'A server answers 422 to encoding_format.',
    expected: 'It is asked again for numbers.',
    test: openai('a server that refuses base64 gets requests for numbers'),
    siblings: [
      openai('whose bytes are %s is used by base64, in float32 even where half precision suffices'),
      openai('that offers replies of bytes sends them, exact in float32'),
      servers('$name: the run ends, with 199 of 200 documents'),
    ],
  },
  {
    number: 15,
    input: 'The URL of an embeddings route, with another path and a query.',
    expected: 'It is used as it stands.',
    test: openai('%s is used as it stands, and its query is not shown'),
    siblings: [
      openai('/embeddings?key=secret'),
      openai('without the version is found from the URL of the server'),
      openai('the token is sent by %s where the server reads it'),
    ],
  },
  {
    number: 16,
    input: 'A server answers 403, 401 or 500 to /info, and has an embeddings route.',
    expected: 'It is used as an OpenAI-compatible server.',
    test: openai('a server that answers %d to /info is used by its embeddings route'),
    siblings: [
      openai('a token that no header makes valid is refused, and never shown'),
      openai('a server without a limit of inputs gets requests of 32, and refuses none'),
      servers('$name: the run ends, with 199 of 200 documents'),
    ],
  },
  {
    number: 17,
    input: 'Vectors of 3,072 dimensions for pgvector.',
    expected: 'An index that works, or a sentence why there is none.',
    test: [
      'test/export/load-pages.test.ts',
      'is loaded into PostgreSQL, with an index where pgvector has one, and the nearest row is found',
    ],
    siblings: [
      layouts('more dimensions than an index over vector takes'),
      layouts('more dimensions than any index takes'),
      planned('pgvector warns above 4,000 dimensions, which it holds without an index'),
      planned('%s refuses a plan with %i dimensions'),
    ],
  },
  {
    number: 18,
    input: 'A text with U+0000 for pgvector.',
    expected: 'Counted and listed before the first byte; --skip-refused exports the other rows.',
    test: limits('a NUL in a text'),
    siblings: [
      planned('%s refuses a plan whose sample has a row that it cannot store: %j'),
      limits('all offenders are counted, and ten of them listed'),
      limits(
        'rows that the consumer cannot store are left out if asked, counted and listed in refused.jsonl',
      ),
      limits('a control character'),
    ],
  },
  {
    number: 20,
    input: 'Parquet columns of lists, structs and maps.',
    expected: 'Carried as JSON.',
    test: cases('carries lists, structs and maps as JSON'),
    siblings: [
      cases('lists of structs are JSON, also in %s'),
      cases('names a list whose dictionary is damaged'),
      siblings('lists of lists, structs in lists and integer keys of maps are JSON with all digits'),
      siblings('in a struct of %s cannot be carried as %s'),
    ],
  },
  {
    number: 21,
    input: 'Folders lang=de/ and lang=en/.',
    expected: 'The partition column.',
    test: cases('carries partition columns, which a column of the file overrides'),
    siblings: [
      cases('carry their partition columns, with any character and null'),
      siblings('partitions that are empty, or hold escapes that are none, are values as they are written'),
      siblings('a partition is an id, and null for a file outside of it'),
    ],
  },
  {
    number: 22,
    input: "NaN and Infinity of Python's json.",
    expected: 'Embedded; carried as doubles.',
    test: cases(
      'NaN and Infinity of Python cost nothing in a field that is not read, and are carried as doubles',
    ),
    siblings: [
      uses('nan'),
      cases('are exact as ids, in objects and lists, with fractions, and beyond the range of doubles'),
      siblings('in a text, in other objects, or in a field that nothing reads costs nothing'),
    ],
  },
  {
    number: 23,
    input: 'CSV with quotes behind backslashes, as Spark and MySQL write it.',
    expected: 'Three documents.',
    test: cases('with quotes behind backslashes is recognised'),
    siblings: [
      cases('with backslashes keeps an escaped backslash before the closing quote'),
      cases('with one unclosed quote rejects one line and reads the lines behind it'),
      cases('with a quoted field whose lines are records by themselves is refused until the quote is stated'),
    ],
  },
  {
    number: 24,
    input: 'Parquet with an encrypted column and a plain footer.',
    expected: 'Refused by the name of the column.',
    test: cases('names an encrypted column'),
    siblings: [
      siblings('with an encrypted footer is named'),
      siblings('is read where only a column is encrypted that nothing needs'),
      siblings('names the encrypted column that is carried, or is in a template'),
    ],
  },
]
