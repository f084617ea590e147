/**
 * Debian's Chromium without a screen, driven through playwright-core (needs peer('chromium')), for tests that open the
 * viewer as a person does. What a page complains about (console errors, uncaught errors, failed requests, violations of
 * the content security policy) is kept, so that a test can demand silence.
 */
import { type Browser, chromium, type Page } from 'playwright-core';
import { missing, peer } from './peers.ts';

/** WebGL in software; nothing that talks to the outside by itself. */
const FLAGS = [
  '--no-sandbox',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface OpenPage {
  readonly page: Page;
  /** What the page complained about so far, one line each. */
  complaints(): readonly string[];
  close(): Promise<void>;
}

export interface OpenBrowser {
  readonly browser: Browser;
  /** A page in a profile of its own. A path is opened relative to `origin`. */
  open(origin: string, path?: string, size?: { width: number; height: number }): Promise<OpenPage>;
  close(): Promise<void>;
}

export async function openBrowser(): Promise<OpenBrowser> {
  const programs = peer('chromium');
  const executablePath = Object.values(programs ?? {})[0];
  if (!executablePath) throw new Error(missing('chromium'));
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  return {
    browser,
    async open(origin, path = '/', size = { width: 1440, height: 900 }) {
      const context = await browser.newContext({ viewport: size, baseURL: origin });
      const page = await context.newPage();
      page.setDefaultTimeout(15_000);
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
      });
      page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
      page.on('requestfailed', (request) => {
        // A page that is left, or a search that is typed over, aborts what it asked for.
        const reason = request.failure()?.errorText ?? '';
        if (reason !== 'net::ERR_ABORTED') complaints.push(`request: ${reason} ${request.url()}`);
      });
      await page.goto(path);
      return { page, complaints: () => complaints, close: () => context.close() };
    },
    close: () => browser.close(),
  };
}
