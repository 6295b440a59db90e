/* The published JSON Schema (docs/sallyport.schema.json), as it was when this program was built. */
#ifndef SALLYPORT_CONFIG_SCHEMA_H
#define SALLYPORT_CONFIG_SCHEMA_H

#include <stddef.h>

extern const unsigned char config_schema[];
extern const size_t config_schema_len;

#endif
