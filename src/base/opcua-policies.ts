/** Security policies of OPC UA that server and client know. */

/**
 * The strongest first. Basic128Rsa15 and Basic256 are withdrawn by the OPC Foundation.
 */
export const POLICIES = ['Aes256_Sha256_RsaPss', 'Aes128_Sha256_RsaOaep', 'Basic256Sha256'] as const;
export type Policy = (typeof POLICIES)[number];
