const HOST = /(?:^|\.)(?:huggingface\.co|hf\.co|huggingface\.cloud)$/

/**
 * Whether Hugging Face runs the host, as the Hub and Inference Endpoints. Hosts of Spaces run the
 * programs of their authors, so they are not among them.
 */
export const isHuggingFaceHost = (hostname: string): boolean => HOST.test(hostname.toLowerCase())
