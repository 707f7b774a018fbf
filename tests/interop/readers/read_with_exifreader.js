// Print what ExifReader finds in images, JSON by file name: FOLDER_OF_NODE_MODULES FILES...
const path = require("path");
const [modules, ...files] = process.argv.slice(2);
const ExifReader = require(path.join(modules, "exifreader"));

(async () => {
  const found = {};
  for (const file of files) {
    const tags = await ExifReader.load(file, { expanded: true });
    // It has no decoder for UTF-16: the value is the bytes, after the character code.
    const comment = (tag) => Buffer.from(tag.value).subarray(8).swap16().toString("utf16le");
    const text = (tag) => (tag === undefined ? null : String(tag.description ?? tag.value));
    found[path.basename(file)] = {
      parameters: text(tags.png?.parameters ?? tags.pngText?.parameters) ?? comment(tags.exif.UserComment),
      source: text(tags.xmp?.DigitalSourceType),
      metadata: text(tags.xmp?.metadata),
    };
  }
  console.log(JSON.stringify(found));
})();
