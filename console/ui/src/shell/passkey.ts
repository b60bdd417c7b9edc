// Passkeys: the API gives and takes the JSON forms of WebAuthn; browsers without them get the conversions here.

interface Parsers {
  parseRequestOptionsFromJSON?: (o: PublicKeyCredentialRequestOptionsJSON) => PublicKeyCredentialRequestOptions;
  parseCreationOptionsFromJSON?: (o: PublicKeyCredentialCreationOptionsJSON) => PublicKeyCredentialCreationOptions;
}

const parsers = () => (globalThis.PublicKeyCredential ?? {}) as unknown as Parsers;

/** Whether this browser can use passkeys as the console does. */
export function passkeysWork(): boolean {
  return !!parsers().parseRequestOptionsFromJSON;
}

/** Has the reader sign in with a passkey. */
export async function passkeyAnswer(o: { publicKey: PublicKeyCredentialRequestOptionsJSON }): Promise<unknown> {
  const c = await navigator.credentials.get({ publicKey: parsers().parseRequestOptionsFromJSON!(o.publicKey) });
  return (c as PublicKeyCredential).toJSON();
}

/** Has the reader make a passkey. */
export async function newPasskey(o: { publicKey: PublicKeyCredentialCreationOptionsJSON }): Promise<unknown> {
  const c = await navigator.credentials.create({ publicKey: parsers().parseCreationOptionsFromJSON!(o.publicKey) });
  return (c as PublicKeyCredential).toJSON();
}
