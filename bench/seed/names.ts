/**
 * Names that people might have, for `bench seed`: Latin ones with accents in several languages, some in other scripts
 * with their representations (PS3.5 6.2.1.1). Data only; study.ts puts them together.
 */

/** Commonest first: a seeded patient is likelier to have one from the beginning. */
export const FAMILIES: readonly string[] =
  `Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter Klein Wolf Schröder
  Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Schmitt Werner Krause Meier Lehmann Schmid Schulze Maier Köhler
  Herrmann König Walter Mayer Huber Kaiser Fuchs Peters Lang Scholz Möller Weiß Jung Hahn Schubert Vogel Friedrich Keller
  Günther Frank Berger Winkler Roth Beck Lorenz Baumann Franke Albrecht Schuster Simon Ludwig Böhm Winter Kraus Martin Schumacher
  Krämer Vogt Stein Jäger Otto Sommer Groß Seidel Heinrich Brandt Haas Schreiber Graf Schulte Dietrich Ziegler Kuhn Kühn Pohl
  Engel Horn Busch Bergmann Thomas Voigt Sauer Arnold Wolff Pfeiffer García Martínez López González Rodríguez Fernández Pérez
  Sánchez Gómez Jiménez Ruiz Hernández Díaz Álvarez Muñoz Núñez Ibáñez Dupont Durand Lefèvre Moreau Bérard Girard Françoise Garçon
  Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Silva Santos Ferreira Gonçalves Conceição Araújo Novák Svobodová Dvořák
  Černý Procházka Nowak Kowalski Wiśniewski Wójcik Łukaszewski Żak Yılmaz Kaya Demir Çelik Şahin Öztürk Aydın Nguyễn Trần Lê Phạm
  Smith Johnson Williams Brown Jones Taylor Davies O'Brien O'Connor Murphy McDonald Hansen Jørgensen Sørensen Ødegård Åberg Öberg
  Björk Lindström Virtanen Mäkinen Hämäläinen Kovács Szabó Tóth Nagy Horváth Popescu Ionescu Țăranu Marković Jovanović Đorđević
  van_den_Berg de_Vries von_Hohenstein de_la_Cruz Van_Damme Abu_Bakr Ibrahim Hassan Haddad Al-Sayed Cohen Levi Katz`
    .split(/\s+/)
    .map((name) => name.replaceAll('_', ' '));

export const GIVEN: readonly string[] =
  `Anna Peter Maria Michael Ursula Thomas Monika Andreas Petra Wolfgang Elisabeth Klaus Sabine Jürgen Renate Günter Helga Stefan
  Karin Christian Brigitte Uwe Ingrid Werner Erika Horst Andrea Frank Gisela Dieter Claudia Manfred Susanne Gerhard Gabriele Hans
  Christa Bernd Christine Thorsten Hildegard Matthias Anja Helmut Birgit Walter Barbara Heinz Heike Martin José María Jesús Ángel
  Lucía Sofía Begoña François Élodie Hélène Zoë Noël Giulia Francesco Chiara João Inês Jiří Tomáš Kateřina Łukasz Zofia Ayşe
  Mehmet Gökhan İbrahim Thị Văn John Mary Siobhán Seán Søren Åse Øyvind Jörg Päivi Zsófia György Ștefan Željko Đurđa Mohammed
  Fatima Yusuf Miriam David`.split(/\s+/);

/** Alphabetic, ideographic, phonetic; whole PN values. */
export const OTHER_SCRIPTS: readonly string[] = [
  'Yamada^Tarou=山田^太郎=やまだ^たろう',
  'Suzuki^Hanako=鈴木^花子=すずき^はなこ',
  'Tanaka^Jirou=田中^次郎=たなか^じろう',
  'Sato^Yuki=佐藤^由紀=さとう^ゆき',
  'Hong^Gildong=洪^吉洞=홍^길동',
  'Kim^Minsu=金^民秀=김^민수',
  'Wang^XiaoDong=王^小东',
  'Zhang^XiaoDong=张^小东',
  'Люкceмбypг^Роза',
  'Иванов^Иван^Иванович',
  'Διονυσιος^Νικος',
  'קבני^לנזפר',
];

/** Modality of the study, its series, how many of a thousand studies, and what such a study may be called. */
export const KINDS: readonly {
  readonly series: readonly string[];
  readonly perMille: number;
  readonly instances: number;
  readonly descriptions: readonly string[];
}[] = [
  {
    series: ['DX', 'DX'],
    perMille: 250,
    instances: 1,
    descriptions: ['Thorax p.a.', 'Knie rechts 2 Ebenen', 'Chest PA/LAT'],
  },
  { series: ['CR'], perMille: 80, instances: 2, descriptions: ['Becken', 'Hand links', 'Abdomen'] },
  {
    series: ['CT', 'CT', 'CT', 'CT'],
    perMille: 260,
    instances: 300,
    descriptions: ['CT Thorax', 'CT Schädel nativ', 'CT Abdomen/Becken KM', 'CT angiography chest'],
  },
  {
    series: ['MR', 'MR', 'MR', 'MR', 'MR', 'MR'],
    perMille: 180,
    instances: 60,
    descriptions: ['MRT Knie', 'MR brain w/wo', 'IRM rachis lombaire', 'MRT Schädel'],
  },
  {
    series: ['US', 'SR'],
    perMille: 120,
    instances: 20,
    descriptions: ['Sono Abdomen', 'Échographie cardiaque', 'Schilddrüse'],
  },
  { series: ['MG', 'MG'], perMille: 50, instances: 2, descriptions: ['Mammographie bds.', 'Screening'] },
  { series: ['PT', 'CT', 'CT'], perMille: 30, instances: 250, descriptions: ['PET/CT FDG'] },
  { series: ['XA'], perMille: 20, instances: 30, descriptions: ['Koronarangiographie'] },
  { series: ['NM'], perMille: 10, instances: 4, descriptions: ['Skelettszintigraphie'] },
];
