/**
 * What tissue lies where in the synthetic chest: wall, bones, lungs with a nodule, mediastinum, upper abdomen.
 * Pure geometry, asked by phantom.ts for every pixel. Coordinates are millimetres in the patient's axes
 * (PS3.3 C.7.6.2.1.1): x to the left, y to the back, z to the head, the origin in the middle of the chest.
 */

// Hounsfield units, as textbooks give them; vessels hold contrast medium.
export const AIR = -1000;
export const LUNG = -860;
const FAT = -100;
const MUSCLE = 55;
const BLOOD = 170;
const LIVER = 105;
const SPLEEN = 120;
const CORTICAL = 700;
const MARROW = 170;
const DISC = 85;
const CORD = 35;
const NODULE = 80;

const VERTEBRA_MM = 26;
const DISC_MM = 5;
const RIB_MM = 27;

interface Outline {
  x: number;
  y: number;
}

/** Whether a value of `tissue` is aerated lung. */
export function isLung(value: number): boolean {
  return value > -940 && value < -650;
}

/** Hounsfield units at a point. */
export function tissue(x: number, y: number, z: number): number {
  // Nobody is symmetric.
  const wx = x + 2.5 * Math.sin(y / 38 + z / 55) + 1.5;
  const wy = y + 2 * Math.sin(x / 47 + 1) - 3 * (x / 180) ** 2;
  const body = bodyAt(z);
  const wall = within(wx, wy, body.x, body.y);
  if (wall > 1) return tableAt(x, y);
  if (within(wx, wy, body.x - 2, body.y - 2) > 1) return 10; // skin
  const cage = cageAt(z, body);
  const inside = within(wx, wy, cage.x, cage.y);
  const bone =
    spineAt(wx, wy, z) ??
    ribAt(wx, wy, z, cage, inside) ??
    sternumAt(wx, wy, z, cage) ??
    scapulaAt(wx, wy, z, cage);
  if (bone !== undefined) return bone;
  if (inside < 1) return mediastinumAt(wx, wy, z) ?? lungOrAbdomenAt(wx, wy, z, cage);
  return wallAt(wx, wy, z, body, cage);
}

/** Below 1 within an ellipse. */
function ellipse(x: number, y: number, radiusX: number, radiusY: number): number {
  return (x / radiusX) ** 2 + (y / radiusY) ** 2;
}

/** Below 1 within an outline flatter in front and behind than an ellipse, as a chest is: exponent 2.5. */
function within(x: number, y: number, radiusX: number, radiusY: number): number {
  const u = Math.abs(x / radiusX);
  const v = Math.abs(y / radiusY);
  return u * u * Math.sqrt(u) + v * v * Math.sqrt(v);
}

function bodyAt(z: number): Outline {
  const t = (z + 150) / 300;
  return { x: 166 + 10 * Math.sin(Math.PI * t), y: 118 - 12 * t * t };
}

/** The bony cage narrows to the apices of the lungs. */
function cageAt(z: number, body: Outline): Outline {
  const t = Math.max(0, (z - 30) / 120);
  return { x: (body.x - 30) * (1 - 0.5 * t * t), y: (body.y - 27) * (1 - 0.34 * t * t) };
}

/** The patient lies on a shallow tray of carbon fibre around foam. */
function tableAt(x: number, y: number): number {
  const depth = y - (130 - 20 * (x / 210) ** 2);
  if (Math.abs(x) > 200 || depth < 0 || depth > 14) return AIR;
  return depth < 2 || depth > 12 ? -250 : -960;
}

/** Fat below the skin, muscle on the ribs: pectoral in front, the big ones of back and shoulder. */
function wallAt(x: number, y: number, z: number, body: Outline, cage: Outline): number {
  const fat = 11 + 7 * Math.abs(Math.sin(Math.atan2(x, y) * 1.5 + 0.4)) + (z < -60 ? 4 : 0);
  if (within(x, y, body.x - fat, body.y - fat) > 1) return FAT;
  // Seams of fat part the muscles.
  const layer = within(x, y, cage.x + 13, cage.y + 11);
  if (layer > 0.97 && layer < 1.03) return FAT + 30;
  const seam = Math.abs(Math.sin(3.2 * Math.atan2(x, y) + 0.02 * z));
  return layer > 1.03 && seam < 0.07 ? FAT + 30 : MUSCLE;
}

function spineAt(x: number, y: number, z: number): number | undefined {
  const dy = y - (66 - 8 * Math.cos((z / 150) * Math.PI)); // the thoracic kyphosis
  if (Math.abs(x) > 40 || dy < -20 || dy > 52) return undefined;
  const level = ((z % VERTEBRA_MM) + VERTEBRA_MM) % VERTEBRA_MM;
  const inBody = ellipse(x, dy, 18, 15);
  if (inBody < 1) {
    if (level < DISC_MM) return DISC;
    const shell = inBody > 0.84 || level < DISC_MM + 1.2 || level > VERTEBRA_MM - 1.2;
    return shell ? CORTICAL * 0.6 : MARROW + 35 * Math.sin(x * 1.3) * Math.sin(dy * 1.1 + z);
  }
  const canal = ellipse(x, dy - 23, 9.5, 8);
  if (canal < 1) return ellipse(x, dy - 23, 5.5, 4.5) < 1 ? CORD : FAT + 100;
  if (canal < 1.9 && (level > 6 || dy < 20)) return canal < 1.25 || canal > 1.6 ? CORTICAL * 0.7 : MARROW;
  if (level < 7 || level > 21) return undefined;
  const spinous = Math.abs(x) < 3.8 && dy > 30 && dy < 50;
  if (spinous) return Math.abs(x) > 2.2 || dy > 48 ? CORTICAL * 0.6 : MARROW;
  const across = Math.abs(dy - 18 - 0.3 * (Math.abs(x) - 10));
  const transverse = across < 5 && Math.abs(x) > 9 && Math.abs(x) < 31;
  return transverse ? (across > 3.2 || Math.abs(x) > 29 ? CORTICAL * 0.6 : MARROW) : undefined;
}

/** Ribs run round the cage and sink on their way to the front, so a slice cuts several of them slantwise. */
function ribAt(x: number, y: number, z: number, cage: Outline, inside: number): number | undefined {
  if (inside < 0.9 || within(x, y, cage.x + 9, cage.y + 9) > 1) return undefined;
  const fromBack = Math.atan2(Math.abs(x) / cage.x, y / cage.y) / Math.PI; // 0 at the spine, 1 at the sternum
  const cartilage = fromBack > 0.84;
  if (fromBack > 0.95) return undefined;
  const level = z + 118 * fromBack + 9 * (x > 0 ? 0.3 : 0);
  const along = (((level % RIB_MM) + RIB_MM) % RIB_MM) - RIB_MM / 2;
  // Depth in the wall, from -1 at the inner to 1 at the outer side.
  const depth =
    within(x, y, cage.x + 4, cage.y + 4) > 1 ? radial(x, y, cage, 4, 8) : radial(x, y, cage, 4, 0);
  const rib = (along / 6.6) ** 2 + depth ** 2;
  if (rib > 1) return undefined;
  if (cartilage) return 120;
  return rib > 0.5 ? CORTICAL : MARROW + 60;
}

/** 0 on the cage grown by `middle`, 1 on the cage grown by `edge`. */
function radial(x: number, y: number, cage: Outline, middle: number, edge: number): number {
  const at = within(x, y, cage.x + middle, cage.y + middle) - 1;
  const limit = within(cage.x + edge, 0, cage.x + middle, cage.y + middle) - 1;
  return at / limit;
}

function sternumAt(x: number, y: number, z: number, cage: Outline): number | undefined {
  if (z < -55) return undefined;
  const plate = ellipse(x, y + cage.y + 7, z > 85 ? 27 : 18, 6.5);
  if (plate > 1) return undefined;
  return plate > 0.66 ? CORTICAL * 0.5 : MARROW - 70;
}

/** Thin plates behind the upper ribs, with their spines. */
function scapulaAt(x: number, y: number, z: number, cage: Outline): number | undefined {
  if (z < 10 || y < 20 || within(x, y, cage.x + 12, cage.y + 10) < 1) return undefined;
  const u = Math.abs(x) - 108 + (z - 60) * 0.2;
  const v = y - 66 + (z - 60) * 0.05;
  // The blade runs outwards and forwards.
  const along = u * 0.82 - v * 0.57;
  const off = u * 0.57 + v * 0.82 + (along / 26) ** 2 * 3;
  const half = 26 + (z - 60) * 0.08;
  if (Math.abs(along) < half && Math.abs(off) < 3.2)
    return Math.abs(off) > 1.6 ? CORTICAL * 0.9 : MARROW + 60;
  const spine = z > 70 && Math.abs(along - 6) < 3 && off > 0 && off < 17;
  return spine ? CORTICAL * 0.8 : undefined;
}

/** Heart, great vessels, airway and gullet, with the fat between them; undefined where lung or abdomen lie. */
function mediastinumAt(x: number, y: number, z: number): number | undefined {
  const found = airwayAt(x, y, z) ?? greatVesselAt(x, y, z) ?? heartAt(x, y, z);
  if (found !== undefined) return found;
  if (ellipse(x - 5, y - 27, 6, 7) < 1 && z > -100) return MUSCLE - 20; // oesophagus
  if (z < -80) return undefined;
  const width = z > 60 ? 36 - (z - 60) * 0.06 : 36 + 4 * Math.sin(y / 14);
  return within(x - 2, y - 4, width, 78) < 1 ? FAT + 12 : undefined;
}

function airwayAt(x: number, y: number, z: number): number | undefined {
  if (z < -12) return undefined;
  // The trachea parts at the carina; its right branch is the steeper one.
  const apart = Math.max(0, 30 - z);
  const tube = Math.min(
    ellipse(x + apart * 0.95, y - 9 - apart * 0.06, apart > 0 ? 8 : 10, apart > 0 ? 7.5 : 9),
    ellipse(x - apart * 1.2, y - 9 - apart * 0.08, apart > 0 ? 7 : 10, apart > 0 ? 6.5 : 9),
  );
  return tube < 0.76 ? AIR : tube < 1.15 ? MUSCLE : undefined;
}

function greatVesselAt(x: number, y: number, z: number): number | undefined {
  if (z < 60 && ellipse(x - 25, y - 38, 12, 12) < 1) return BLOOD; // descending aorta
  const arch = Math.min(capsule(x, y, -6, -26, 17, -6), capsule(x, y, 17, -6, 25, 34));
  if (z >= 48 && z < 74 && arch < 12.5 * Math.sqrt(Math.max(0, 1 - ((z - 61) / 13.5) ** 2))) return BLOOD;
  if (z > -6 && z < 62 && ellipse(x + 8, y + 26, 15, 15) < 1) return BLOOD; // ascending aorta
  if (z > -10 && z < 118 && ellipse(x + 33, y + 8, 8.5, 9.5) < 1) return BLOOD + 90; // superior vena cava
  if (z > 2 && z < 36 && ellipse(x - 20, y + 24, 14, 14) < 1) return BLOOD - 15; // pulmonary trunk
  if (z > 8 && z < 26 && Math.min(capsule(x, y, 20, -18, 40, 4), capsule(x, y, 16, -16, -38, -2)) < 8)
    return BLOOD - 15;
  if (z >= 74) {
    // Three arteries rise from the arch, two veins run before them.
    const rise = (z - 74) * 0.22;
    if (
      Math.min(
        ellipse(x + 6 + rise, y + 12, 6, 6),
        ellipse(x - 9, y + 2, 4.5, 4.5),
        ellipse(x - 17 - rise, y - 8, 5, 5),
      ) < 1
    ) {
      return BLOOD;
    }
    if (Math.min(ellipse(x + 30, y + 20, 8, 7), ellipse(x - 12 - rise, y + 28, 11, 5)) < 1) return BLOOD + 40;
  }
  return undefined;
}

/** Distance to the segment from (ax, ay) to (bx, by). */
function capsule(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const dx = bx - ax;
  const dy = by - ay;
  const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

function heartAt(x: number, y: number, z: number): number | undefined {
  const dz = (z + 42) / 54;
  if (Math.abs(dz) >= 1) return undefined;
  // The long axis points to the left, to the front and down.
  const cx = x - 20 + 16 * dz;
  const cy = y + 28;
  const u = cx * 0.84 - cy * 0.54;
  const v = cx * 0.54 + cy * 0.84;
  const wall = ellipse(u, v, 64, 47) + dz * dz;
  if (wall > 1.14) return undefined;
  if (wall > 1) return FAT + 20; // epicardial fat
  if (ellipse(u - 20, v - 10, 28, 19) + 1.5 * dz * dz < 1) return BLOOD + 5; // left ventricle
  if (ellipse(u - 6, v + 22, 40, 15) + 1.3 * dz * dz < 1) return BLOOD - 25; // right ventricle
  if (ellipse(u + 40, v + 8, 17, 22) + 1.2 * dz * dz < 1) return BLOOD + 40; // right atrium
  if (ellipse(u + 20, v - 24, 24, 14) + 1.4 * dz * dz < 1) return BLOOD; // left atrium
  return 95; // myocardium
}

/** Below the domes of the diaphragm lie liver, stomach and spleen; above them lung, with the nodule. */
function lungOrAbdomenAt(x: number, y: number, z: number, cage: Outline): number {
  const right = -46 - 46 * ellipse(x + 58, y - 2, 86, 100) - z;
  const left = -62 - 46 * ellipse(x - 60, y - 2, 84, 100) - z;
  const below = Math.max(right, left, within(x, y + 8, 46, 80) < 1 ? -70 - z : -1);
  if (below > 0) {
    if (below < 3) return MUSCLE;
    return within(x, y, cage.x - 3, cage.y - 3) > 1 ? FAT + 15 : abdomenAt(x, y, z);
  }
  const nodule = Math.hypot(x + 84, y - 14, z - 24);
  if (nodule < 8.5 + 0.5 * Math.sin(3 * Math.atan2(y - 14, x + 84))) return NODULE;
  const fissure = Math.abs(y - 14 - 0.62 * (z - 8) - 0.1 * Math.abs(x)) < 0.6;
  // The lung is denser at the back, on which the patient lies.
  return LUNG + (fissure ? 130 : 0) + (60 * (y + cage.y)) / (2 * cage.y);
}

function abdomenAt(x: number, y: number, z: number): number {
  const depth = -z - 60;
  if (ellipse(x + 16, y - 24, 13, 10) < 1) return BLOOD - 30; // inferior vena cava
  if (ellipse(x - 92, y - 34, 30, 44) < 1) return SPLEEN;
  const stomach = ellipse(x - 62 + depth * 0.1, y + 22, 40, 36);
  // Fluid sinks, air rises: the patient lies on the back.
  if (stomach < 1) return stomach > 0.84 ? MUSCLE : y < -32 ? AIR + 20 : 18;
  const liver = within(x + 52 - depth * 0.12, y + 4, 92 - depth * 0.12, 84);
  if (liver < 1) {
    const vein = Math.min(
      capsule(x, y, -18, 14, -62, -10),
      capsule(x, y, -18, 12, -40, -40),
      capsule(x, y, -20, 18, -90, 30),
    );
    return vein < 3.4 - 0.02 * depth ? LIVER + 45 : LIVER;
  }
  if (ellipse(x + 22, y - 44, 10, 14) < 1 || ellipse(x - 24, y - 46, 12, 12) < 1) return MUSCLE; // crura
  return FAT + 8 * Math.sin(x / 9) * Math.cos(y / 7);
}
