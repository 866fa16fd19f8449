/* The version, in one place: `ringtape version`, /health and ringtape_build_info show it. Semantic
 * versioning. */
#ifndef CORE_VERSION_H
#define CORE_VERSION_H
#define RINGTAPE_VERSION "0.1.0"
#endif
