/** For `make check` alone: the types are those of the package, in build/page. */
export * from "preact";
