#include <ctype.h>

int isdigit(int letter)
{
    return letter >= '0' && letter <= '9';
}

int islower(int letter)
{
    return letter >= 'a' && letter <= 'z';
}

int isupper(int letter)
{
    return letter >= 'A' && letter <= 'Z';
}

int isalpha(int letter)
{
    return islower(letter) || isupper(letter);
}

int isalnum(int letter)
{
    return isalpha(letter) || isdigit(letter);
}

int isblank(int letter)
{
    return letter == ' ' || letter == '\t';
}

int isspace(int letter)
{
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

int iscntrl(int letter)
{
    return (letter >= 0 && letter < ' ') || letter == 127;
}

int isprint(int letter)
{
    return letter >= ' ' && letter < 127;
}

int isgraph(int letter)
{
    return letter > ' ' && letter < 127;
}

int ispunct(int letter)
{
    return isgraph(letter) && !isalnum(letter);
}

int isxdigit(int letter)
{
    return isdigit(letter) || (tolower(letter) >= 'a' && tolower(letter) <= 'f');
}

int tolower(int letter)
{
    return isupper(letter) ? letter + 'a' - 'A' : letter;
}

int toupper(int letter)
{
    return islower(letter) ? letter - 'a' + 'A' : letter;
}
