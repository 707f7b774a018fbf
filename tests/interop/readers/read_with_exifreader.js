// Print what ExifReader finds in images, JSON by file name: FOLDER_OF_NODE_MODULES FILES...
const path = require("path");
const [modules, ...files] = process.argv.slice(2);
const ExifReader = require(path.join(modules, "exifreader"));

(async () => {
  const found = {};
  for (const file of files) {
    const tags = await ExifReader.load(file, { expanded: true });
    const text = (tag) => (tag === undefined ? null : String(tag.description ?? tag.value));
    found[path.basename(file)] = {
      parameters: text(tags.png?.parameters ?? tags.pngText?.parameters ?? tags.exif?.UserComment),
      source: text(tags.xmp?.DigitalSourceType),
      metadata: text(tags.xmp?.metadata),
    };
  }
  console.log(JSON.stringify(found));
})();
